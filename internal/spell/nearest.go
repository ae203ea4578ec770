// Package spell finds the word that somebody meant.
package spell

import "strings"

// wordMax bounds the words that are compared: a longer one is no misspelt key.
const wordMax = 100

// Nearest gives the known word that an unknown one was probably meant to be; "" if
// none is near: a third of its letters may differ, and case does not count.
func Nearest(unknown string, known []string) string {
	return Within(unknown, known, (len(unknown)+1)/3)
}

// Within is Nearest for words of which at most so many letters may differ.
func Within(unknown string, known []string, letters int) string {
	best, least := "", letters
	for _, k := range known {
		if d := distance(strings.ToLower(unknown), strings.ToLower(k)); d <= least && (best == "" || d < least) {
			best, least = k, d
		}
	}
	return best
}

// distance is how many letters must be changed, added, dropped or swapped with
// their neighbour (Damerau and Levenshtein, optimal string alignment).
func distance(a, b string) int {
	if len(a) > wordMax || len(b) > wordMax {
		return wordMax
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
