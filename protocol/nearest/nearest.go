// Package nearest finds the word that a misspelt one was meant to be.
package nearest

// Word returns the word that name was most likely meant to be: at most a third of its letters are wrong, missing, too many, or two
// of them exchanged. "" if there is none.
func Word(name string, words []string) string {
	best, most := "", max(1, len(name)/3)
	for _, w := range words {
		if d := distance(name, w, most); d <= most && w != name && d < len(w) {
			if d < most || best == "" {
				best, most = w, d
			}
		}
	}
	return best
}

// distance counts the edits between two words; more than most is most+1.
func distance(a, b string, most int) int {
	if len(a)-len(b) > most || len(b)-len(a) > most || len(a) > 64 || len(b) > 64 {
		return most + 1
	}
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(row[j]+cost, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}
