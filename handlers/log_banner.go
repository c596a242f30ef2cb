package handlers

import (
	"fmt"

	"github.com/claviger/claviger/gate"
	"github.com/claviger/claviger/views/layout"
	"github.com/claviger/claviger/views/ui"
)

// logBanner returns the banner that members see while the request log cannot be written; otherwise nil.
func logBanner(s gate.RecorderState) *layout.Banner {
	if !s.Behind {
		return nil
	}
	b := &layout.Banner{Title: "The request log cannot be written at the moment: " + s.Reason}
	if s.Refusing {
		b.Text = "Requests with known keys get 503 until then, because every request must be recorded."
	} else {
		b.Text = "Requests are answered as usual. " + waiting(s.Waiting) + " and will be written as soon as possible."
	}
	if s.Dropped > 0 {
		b.Text += fmt.Sprintf(" There was no space for %s more, which are lost.", ui.FormatCount(int64(s.Dropped)))
	}
	return b
}

func waiting(rows int) string {
	if rows == 1 {
		return "1 row waits"
	}
	return ui.FormatCount(int64(rows)) + " rows wait"
}
