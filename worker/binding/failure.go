package binding

// Codes of failures that bindings report.
const (
	// CodeRequestNotBuilt (kind binding): input and binding do not fit. Retryable.
	CodeRequestNotBuilt = "request_not_built"
	// CodeResultNotMapped (kind binding): the call succeeded and its answer does not fit
	// the result mapping. Retryable, with the same key.
	CodeResultNotMapped = "result_not_mapped"
	// CodeAnswerTooLarge (kind binding): above answer_bytes_max, decompressed. Not
	// retryable.
	CodeAnswerTooLarge = "answer_too_large"
)
