package api

import "net/http"

// Code is the stable code of a problem: the same in API, CLI, logs and metrics.
type Code string

// The codes. Problems lists what they mean.
const (
	CodeRequestInvalid       Code = "request_invalid"
	CodeUnauthenticated      Code = "unauthenticated"
	CodeForbidden            Code = "forbidden"
	CodeRouteNotFound        Code = "route_not_found"
	CodeMethodNotAllowed     Code = "method_not_allowed"
	CodeWorkflowNotFound     Code = "workflow_not_found"
	CodeWorkflowIDInvalid    Code = "workflow_id_invalid"
	CodeWorkflowIDInUse      Code = "workflow_id_in_use"
	CodeWorkflowClosed       Code = "workflow_closed"
	CodeWorkflowTypeUnknown  Code = "workflow_type_unknown"
	CodeUpdateRefused        Code = "update_refused"
	CodeQueryUnanswered      Code = "query_unanswered"
	CodeTaskClosed           Code = "task_closed"
	CodeOperationNotOffered  Code = "operation_not_offered"
	CodeDeadLetterNotFound   Code = "dead_letter_not_found"
	CodeServiceNotFound      Code = "service_not_found"
	CodePayloadInvalid       Code = "payload_invalid"
	CodePayloadTooLarge      Code = "payload_too_large"
	CodeHistoryGone          Code = "history_gone"
	CodeNotOwner             Code = "not_owner"
	CodeInternal             Code = "internal"
	CodeUnavailable          Code = "unavailable"
	CodePartitionUnavailable Code = "partition_unavailable"
	CodeOutcomeUnknown       Code = "outcome_unknown"
)

// ProblemsPage is where codes are explained, one heading each.
const ProblemsPage = "https://github.com/odradek/odradek/blob/main/docs/problems.md#"

// ProblemType says what a code means, for everybody who shows it.
type ProblemType struct {
	Code      Code
	Status    int
	Retryable bool // the same request may succeed later
	Title     string
	Fix       string // what to do about it
}

// Problems are all problem types, in the order in which docs/problems.md has them.
func Problems() []ProblemType {
	return []ProblemType{
		{CodeRequestInvalid, http.StatusBadRequest, false, "The request is not valid", "The detail names the parameter and what it may be."},
		{CodeUnauthenticated, http.StatusUnauthorized, false, "No valid token", "Send `Authorization: Bearer TOKEN` with a token that the engine's configuration has."},
		{CodeForbidden, http.StatusForbidden, false, "Who asks may not do this", "The detail says why: use a token with the role that it names, or ask from where it says."},
		{CodeRouteNotFound, http.StatusNotFound, false, "No such path", "The paths are those of openapi.yaml; parts of a path are percent-encoded."},
		{CodeMethodNotAllowed, http.StatusMethodNotAllowed, false, "The path does not have this method", "The header Allow names the methods."},
		{CodeWorkflowNotFound, http.StatusNotFound, false, "No such workflow", "Check the ID. A closed workflow is forgotten when the retention of its summary is over."},
		{CodeWorkflowIDInvalid, http.StatusUnprocessableEntity, false, "The workflow ID is not valid", "An ID is 1 to 200 bytes of UTF-8 without control characters."},
		{CodeWorkflowIDInUse, http.StatusConflict, false, "The workflow ID is in use with another input", "Choose another ID, or send the same type and input to get that run."},
		{CodeWorkflowClosed, http.StatusConflict, false, "The workflow is closed", "A closed run takes no more signals."},
		{CodeWorkflowTypeUnknown, http.StatusUnprocessableEntity, false, "The workflow type is not known", "`known_types` lists the types that are compiled into this engine."},
		{CodeUpdateRefused, http.StatusUnprocessableEntity, false, "The workflow's code refuses the update", "The detail says why. Nothing was changed."},
		{CodeQueryUnanswered, http.StatusConflict, false, "The workflow's code cannot answer the query", "The detail says why: the run is stuck, or the query's code panics, waits or asks for something. The run goes on as before."},
		{CodeTaskClosed, http.StatusConflict, false, "Nobody waits for the task any more", "It is done, failed for good or cancelled, another attempt is open, an earlier answer waits until its run goes on, or the run is closed."},
		{CodeOperationNotOffered, http.StatusConflict, false, "The run is not in a state for this", "The detail says what it is, and what can be done instead."},
		{CodeDeadLetterNotFound, http.StatusNotFound, false, "No such dead letter", "It was taken in once more or discarded, or was never there."},
		{CodeServiceNotFound, http.StatusNotFound, false, "No such service", "The detail names the services that the workflow types of this engine use."},
		{CodePayloadInvalid, http.StatusUnprocessableEntity, false, "The payload does not fit its type", "The detail names the field."},
		{CodePayloadTooLarge, http.StatusRequestEntityTooLarge, false, "The payload is too large", "Store it elsewhere and send a reference; `size` and `limit` are in bytes."},
		{CodeHistoryGone, http.StatusGone, false, "The history is dropped", "The result is still there; the topic `<ns>.history` may have the history."},
		{CodeNotOwner, http.StatusMisdirectedRequest, true, "This instance does not own the workflow", "Only instances see this: they ask the owner."},
		{CodeInternal, http.StatusInternalServerError, true, "A fault of the engine", "Report it with the instance's log."},
		{CodeUnavailable, http.StatusServiceUnavailable, true, "The engine cannot do this now", "Ask again; the instance's log has the reason."},
		{CodePartitionUnavailable, http.StatusServiceUnavailable, true, "No instance owns the workflow's partition now", "Ask again: ownership moves when instances come and go. If it lasts, look at /status."},
		{CodeOutcomeUnknown, http.StatusGatewayTimeout, true, "Nobody knows yet whether the command was applied", "Send the same request again, with the same Idempotency-Key if it had one: it is applied once."},
	}
}

// ProblemOf finds a code's problem type.
func ProblemOf(code Code) (ProblemType, bool) {
	for _, p := range Problems() {
		if p.Code == code {
			return p, true
		}
	}
	return ProblemType{}, false
}
