package oracle

import "fmt"

// problemsMax is how many problems are told: the first ones say what is wrong.
const problemsMax = 20

// Verdict collects what is wrong.
type Verdict struct {
	Missing  int      // effects, runs or closes that are not there
	Doubled  int      // effects, keys, runs, tasks or events that are there twice
	Broken   int      // histories and stores that contradict themselves
	Problems []string // the first of them, for people
}

// OK reports whether nothing is wrong.
func (v *Verdict) OK() bool { return v.Missing+v.Doubled+v.Broken == 0 }

func (v *Verdict) missing(n int, format string, args ...any) { v.Missing += n; v.tell(format, args...) }
func (v *Verdict) doubled(n int, format string, args ...any) { v.Doubled += n; v.tell(format, args...) }
func (v *Verdict) broken(format string, args ...any)         { v.Broken++; v.tell(format, args...) }

func (v *Verdict) tell(format string, args ...any) {
	if len(v.Problems) < problemsMax {
		v.Problems = append(v.Problems, fmt.Sprintf(format, args...))
	}
}
