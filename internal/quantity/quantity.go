// Package quantity writes how many there are of something, for people.
package quantity

import "strconv"

// Of is a number of things, such as "1 record" or "12,000 records". The noun is one whose plural ends in s.
func Of[N int | int64](n N, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return Number(n) + " " + noun
}

// Number is a number whose digits are grouped by thousands.
func Number[N int | int64](n N) string {
	text := strconv.FormatInt(int64(n), 10)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
