package fault

import "testing"

func TestNamesAreDistinct(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, p := range Points() {
		if seen[string(p)] {
			t.Errorf("point %s twice", p)
		}
		seen[string(p)] = true
	}
	for _, r := range Rules() {
		if seen[string(r)] {
			t.Errorf("rule %s twice", r)
		}
		seen[string(r)] = true
	}
}

func TestNothingFailsUnasked(t *testing.T) {
	t.Parallel()
	for _, p := range Points() {
		At(p)
		if err := (*Injector)(nil).At(p); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
	for _, r := range Rules() {
		if Off(r) || (*Injector)(nil).Off(r) {
			t.Errorf("rule %s is off", r)
		}
	}
	if d := ClockOffset(); d != 0 {
		t.Errorf("the clock is off by %v", d)
	}
}
