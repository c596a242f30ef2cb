// Package soak tells tests of properties for how long to look. It imports nothing of the program, so that tests inside
// of any package can use it.
package soak

import "os"

// Times is how often a test that tries random cases does so: usual in every run of the tests, and long where the
// environment variable SOAK is set, as in "make soak".
func Times(usual, long int) int {
	if os.Getenv("SOAK") != "" {
		return long
	}
	return usual
}
