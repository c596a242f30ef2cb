// Claviger issues, limits, watches and retires API keys: one binary with a dashboard for the team that manages the keys
// and a validate endpoint for the apps and gateways that use them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	_ "time/tzdata" // viewers' time zones, also where the machine has no list of them

	"github.com/claviger/claviger/internal/app"
	"github.com/claviger/claviger/internal/config"
	"github.com/claviger/claviger/models"
)

// release is the version of the program; builds add the commit they were made from.
const release = "0.1.0"

const usage = `Claviger: API keys for your own service.

  claviger [serve]    migrates the database and serves; prints the address to open
  claviger setup      makes the first account, a project, a key and a service token, for scripts
                      --email E --project SLUG [--password-file F]
  claviger demo       serves a throw-away database with projects and a month of traffic
  claviger migrate    migrates the database and ends
  claviger backup FILE  copies a SQLite database to FILE, also while a server works with it
  claviger audit verify  verifies the chains of the action log; exit 1 where a row was changed or removed
                      [--checkpoint FILE] also against FILE of the last time, and writes it anew
  claviger healthcheck  asks a running server whether it is ready; exit 0 or 1
  claviger version    prints the version

Settings come from the environment: see README.md.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once
	}()
	if err := run(ctx, os.Args[1:], os.Environ(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "claviger: "+explain(err))
		os.Exit(1)
	}
}

func run(ctx context.Context, args, environ []string, out io.Writer) error {
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
	if takesArguments := command == "setup" || command == "backup" || command == "audit"; !takesArguments && len(args) > 0 {
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
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
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

// explain puts what is wrong with fields behind the message of an error that has them.
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

// openStore connects to the database of c, brings it up to date, and checks that pepper and database belong together.
func openStore(ctx context.Context, c config.Config, o app.StoreOptions) (*models.Store, config.Secrets, error) {
	secrets, err := c.LoadSecrets()
	if err != nil {
		return nil, secrets, err
	}
	unlock, err := lockStart(ctx, c)
	if err != nil {
		return nil, secrets, err
	}
	defer unlock()
	o.URL, o.Pepper = c.Database(), secrets.Pepper
	store, err := app.OpenStore(ctx, o)
	if err != nil && c.DatabaseURL != "" {
		err = fmt.Errorf("cannot open the database of CLAVIGER_DATABASE_URL: %w", err)
	}
	if err != nil {
		return nil, secrets, err
	}
	if _, err := store.Migrate(ctx); err != nil {
		store.Close()
		return nil, secrets, err
	}
	return store, secrets, nil
}

func migrate(ctx context.Context, c config.Config, out io.Writer) error {
	store, _, err := openStore(ctx, c, app.StoreOptions{})
	if err != nil {
		return err
	}
	defer store.Close()
	_, err = fmt.Fprintln(out, "The database is up to date.")
	return err
}

// setup prints one JSON object for a script to go on with. It is safe beside a running server.
func setup(ctx context.Context, c config.Config, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("setup", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // what is wrong is said once, by main
	email := flags.String("email", "", "the account's e-mail address")
	slug := flags.String("project", "", "the new project's slug")
	passwordFile := flags.String("password-file", "", "a file with the account's password; generated where it is not given")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		_, err := io.WriteString(out, usage)
		return err
	case err != nil:
		return fmt.Errorf("setup: %w", err)
	}
	if *email == "" || *slug == "" || flags.NArg() > 0 {
		return errors.New("setup needs --email E --project SLUG, and takes --password-file F")
	}
	password := models.GeneratePassword()
	if *passwordFile != "" {
		content, err := os.ReadFile(*passwordFile)
		if err != nil {
			return err
		}
		password = strings.TrimRight(string(content), "\r\n")
	}
	store, _, err := openStore(ctx, c, app.StoreOptions{})
	if err != nil {
		return err
	}
	defer store.Close()
	result, err := store.Setup(ctx, *email, password, *slug)
	if err != nil {
		return err
	}
	if !result.UserCreated {
		password = "" // the account keeps its own
	}
	return json.NewEncoder(out).Encode(struct {
		URL          string `json:"url"`
		Email        string `json:"email"`
		Password     string `json:"password"`
		Project      string `json:"project"`
		ProjectID    int64  `json:"project_id"`
		Key          string `json:"key"`
		ServiceToken string `json:"service_token"`
	}{c.BaseURL, result.User.Email, password, result.Project.Slug, result.Project.ID, result.Key.Plain(), result.ServiceToken.Plain()})
}

// healthcheck asks the server that runs with the same settings.
func healthcheck(ctx context.Context, c config.Config) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.LocalAddr()+"/readyz", nil)
	if err != nil {
		return err
	}
	// Never by a proxy of the environment: the question is whether the server on this machine answers.
	client := &http.Client{Transport: &http.Transport{}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 200))
		return fmt.Errorf("not ready: %s", strings.TrimSpace(string(text)))
	}
	return nil
}
