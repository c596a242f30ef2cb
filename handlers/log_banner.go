package handlers

import (
	"fmt"

	"github.com/claviger/claviger/gate"
	"github.com/claviger/claviger/views/layout"
	"github.com/claviger/claviger/views/ui"
)

// logBanner is what a member is told while the request log cannot be written; nil where all is well.
func logBanner(s gate.RecorderState) *layout.Banner {
	if !s.Behind {
		return nil
	}
	t := &layout.Banner{Title: "The request log cannot be written at the moment: " + s.Reason}
	if s.Refusing {
		t.Text = "Requests with known keys get 503 until it can be, because none may go unrecorded."
	} else {
		t.Text = "Requests are answered as usual. " + waiting(s.Waiting) + ", and will be in the log once this is over."
	}
	if s.Dropped > 0 {
		t.Text += fmt.Sprintf(" There was no room for %s more; they will be missing.", ui.FormatCount(int64(s.Dropped)))
	}
	return t
}

func waiting(rows int) string {
	if rows == 1 {
		return "1 of them waits"
	}
	return ui.FormatCount(int64(rows)) + " of them wait"
}
