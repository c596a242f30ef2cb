package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/claviger/claviger/internal/config"
	"github.com/claviger/claviger/internal/demo"
	"github.com/claviger/claviger/models"
)

// demoServer creates a temporary database with demo data, serves it, and deletes it at the end.
func demoServer(ctx context.Context, c config.Config, log *slog.Logger, out io.Writer) error {
	// If the address is in use, report that before filling the database.
	probe, err := listen(c.Addr, "CLAVIGER_ADDR")
	if err != nil {
		return err
	}
	probe.Close()
	folder, err := os.MkdirTemp("", "claviger-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	c.Data, c.DatabaseURL, c.Pepper = folder, "", ""

	fmt.Fprintln(out, "Making three projects and a month of traffic ...")
	clock := demo.NewClock()
	store, _, err := openStore(ctx, c, StoreOptions{Options: models.Options{Now: clock.Now}})
	if err != nil {
		return err
	}
	keys, err := demo.Fill(ctx, store, clock)
	store.Close()
	if err != nil {
		return err
	}
	return serve(ctx, c, log, out, func() {
		fmt.Fprintf(out, "Sign in as %s with the password %q. All data is deleted when you stop the program.\n",
			demo.Email, demo.Password)
		go demo.Keep(ctx, "http://"+c.LocalAddr(), keys)
	})
}
