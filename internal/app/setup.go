package app

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/claviger/claviger/internal/config"
	"github.com/claviger/claviger/models"
)

// setup makes an account, a project, a key and a service token, and prints them as one JSON object, for scripts. It may
// run beside a server.
func setup(ctx context.Context, c config.Config, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("setup", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // Main writes the error
	email := flags.String("email", "", "the account's e-mail address")
	slug := flags.String("project", "", "the new project's slug")
	passwordFile := flags.String("password-file", "",
		"file with the account's password; if not given, a password is generated")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		_, err := io.WriteString(out, usage)
		return err
	case err != nil:
		return fmt.Errorf("setup: %w", err)
	}
	if *email == "" || *slug == "" || flags.NArg() > 0 {
		return errors.New("usage: claviger setup --email E --project SLUG [--password-file F]")
	}
	password := models.GeneratePassword()
	if *passwordFile != "" {
		content, err := os.ReadFile(*passwordFile)
		if err != nil {
			return err
		}
		password = strings.TrimRight(string(content), "\r\n")
	}
	store, _, err := openStore(ctx, c, StoreOptions{})
	if err != nil {
		return err
	}
	defer store.Close()
	result, err := store.Setup(ctx, *email, password, *slug)
	if err != nil {
		return err
	}
	if !result.UserCreated {
		password = "" // the account keeps its password
	}
	return json.NewEncoder(out).Encode(struct {
		URL          string `json:"url"`
		Email        string `json:"email"`
		Password     string `json:"password"`
		Project      string `json:"project"`
		ProjectID    int64  `json:"project_id"`
		Key          string `json:"key"`
		ServiceToken string `json:"service_token"`
	}{
		c.BaseURL, result.User.Email, password, result.Project.Slug, result.Project.ID,
		result.Key.Plain(), result.ServiceToken.Plain(),
	})
}
