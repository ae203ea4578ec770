package workflow

// Patch lets running workflows take a change of their code where they have not passed
// it yet:
//
//	if workflow.Patch(ctx, "fraud-check") {
//		// the new way
//	} else {
//		// the old way, for runs that were here before the change
//	}
//
// It is true where the code comes there for the first time, which the history then
// says, and false in runs whose history has passed the place without. The answer for
// an ID is the same everywhere in a run. Keep the call, and the old way, until no run
// needs it. IDs are free text of at most 100 bytes.
func Patch(ctx Context, id string) bool {
	h := ctx.enter()
	if id == "" || len(id) > 100 {
		panic("workflow: a patch ID has 1 to 100 bytes")
	}
	return h.Patched(id)
}
