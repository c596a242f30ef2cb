// Package app has the commands of the program, their wiring, and the background jobs.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"

	_ "time/tzdata" // time zones of viewers, for machines that have no list of them

	"github.com/claviger/claviger/internal/config"
	"github.com/claviger/claviger/models"
)

// release is the version of the program. version adds the commit of the build.
const release = "0.1.0"

const usage = `Claviger: API keys for your own service.

  claviger [serve]    migrates the database and serves; prints the address to open
  claviger setup      makes the first account, a project, a key and a service token, for scripts
                      --email E --project SLUG [--password-file F]
  claviger demo       serves a temporary database with projects and a month of traffic
  claviger migrate    migrates the database and exits
  claviger backup FILE  copies a SQLite database to FILE, also while a server uses it
  claviger audit verify  verifies the chains of the audit log; exit 1 if a row was changed or removed
                      [--checkpoint FILE] also compares with FILE of the last time, then replaces it
  claviger healthcheck  asks a running server whether it is ready; exit 0 or 1
  claviger version    prints the version

Settings come from the environment: see README.md.
`

// Main runs the command that args names, with the settings in environ, until it ends or a signal ends it. It returns
// the exit code. It writes an error to errs as one message.
func Main(args, environ []string, out, errs io.Writer) (code int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once
	}()
	if err := run(ctx, args, environ, out, errs); err != nil {
		fmt.Fprintln(errs, "claviger: "+explain(err))
		return 1
	}
	return 0
}

func run(ctx context.Context, args, environ []string, out, errs io.Writer) error {
	command := "serve"
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	switch command {
	case "help", "-h", "--help":
		_, err := io.WriteString(out, usage)
		return err
	case "serve", "setup", "demo", "migrate", "backup", "audit", "healthcheck", "version":
	default:
		return fmt.Errorf("there is no command %q\n\n%s", command, usage)
	}
	takesArguments := command == "setup" || command == "backup" || command == "audit"
	if !takesArguments && len(args) > 0 {
		return fmt.Errorf("%s takes no arguments, but got %q", command, args)
	}
	if command == "version" {
		_, err := fmt.Fprintln(out, version())
		return err
	}
	c, err := config.Load(environ)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(errs, nil))
	switch command {
	case "setup":
		return setup(ctx, c, args, out)
	case "demo":
		return demoServer(ctx, c, log, out)
	case "migrate":
		return migrate(ctx, c, out)
	case "backup":
		return backup(ctx, c, args, out)
	case "audit":
		return audit(ctx, c, args, out)
	case "healthcheck":
		return healthcheck(ctx, c)
	}
	return serve(ctx, c, log, out, nil)
}

// explain returns the message of an error, followed by the messages of its fields, if any.
func explain(err error) string {
	text := err.Error()
	var known *models.Error
	if errors.As(err, &known) {
		for _, field := range slices.Sorted(maps.Keys(known.Fields)) {
			text += "\n  " + field + ": " + known.Fields[field]
		}
	}
	return text
}

func version() string {
	text := release
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				text += "+" + s.Value[:min(12, len(s.Value))]
			}
			if s.Key == "vcs.modified" && s.Value == "true" {
				text += "-modified"
			}
		}
	}
	return text
}
