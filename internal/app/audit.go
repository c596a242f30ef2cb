package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/claviger/claviger/internal/config"
	"github.com/claviger/claviger/models"
)

// audit verifies the chains of the audit log. It changes nothing in the database, and may run beside a server.
func audit(ctx context.Context, c config.Config, args []string, out io.Writer) error {
	const needs = "audit needs verify, which takes --checkpoint FILE"
	if len(args) == 0 || args[0] != "verify" {
		return errors.New(needs)
	}
	flags := flag.NewFlagSet("audit verify", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // what is wrong is said once, by main
	file := flags.String("checkpoint", "", "a file with the ends of the chains of the last time; written anew")
	switch err := flags.Parse(args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		_, err := io.WriteString(out, usage)
		return err
	case err != nil:
		return fmt.Errorf("audit verify: %w", err)
	case flags.NArg() > 0:
		return errors.New(needs)
	}
	var earlier []models.Checkpoint
	if *file != "" {
		var err error
		if earlier, err = readCheckpoints(*file); err != nil {
			return err
		}
	}
	ends, err := verifyActions(ctx, c, earlier)
	if err != nil {
		return err
	}
	if *file != "" {
		if err := writeCheckpoints(*file, ends); err != nil {
			return fmt.Errorf("the chains fit, but the checkpoint cannot be written: %w", err)
		}
	}
	rows := int64(0)
	for _, end := range ends {
		rows += end.Seq
	}
	_, err = fmt.Fprintf(out, "%d rows in %d chains fit.\n", rows, len(ends))
	return err
}

// verifyActions opens the database as it is, without migrating it.
func verifyActions(ctx context.Context, c config.Config, earlier []models.Checkpoint) ([]models.Checkpoint, error) {
	if err := databaseExists(c); err != nil {
		return nil, err
	}
	secrets, err := c.LoadSecrets()
	if err != nil {
		return nil, err
	}
	store, err := ConnectStore(ctx, StoreOptions{URL: c.Database(), Options: models.Options{Pepper: secrets.Pepper}})
	if err != nil {
		return nil, err
	}
	defer store.Close()
	if err := store.CheckSchema(ctx); err != nil {
		return nil, err
	}
	return store.VerifyAudit(ctx, earlier)
}

// checkpointFile is what the file of --checkpoint holds, as JSON.
type checkpointFile struct {
	Chains []models.Checkpoint `json:"chains"`
}

// readCheckpoints gives what was written the last time; nothing where there is no file yet.
func readCheckpoints(file string) ([]models.Checkpoint, error) {
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var held checkpointFile
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&held); err != nil || len(held.Chains) == 0 { // there is always the chain of the instance
		return nil, fmt.Errorf("%s is no checkpoint. "+
			"Put the right one back from a copy, or remove it to begin anew", file)
	}
	return held.Chains, nil
}

// writeCheckpoints writes aside and renames, so that the file is always whole.
func writeCheckpoints(file string, ends []models.Checkpoint) error {
	content, err := json.MarshalIndent(checkpointFile{ends}, "", "  ")
	if err != nil {
		return err
	}
	aside, err := os.CreateTemp(filepath.Dir(file), ".checkpoint-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(aside.Name())
	_, err = aside.Write(append(content, '\n'))
	if err == nil {
		err = aside.Sync()
	}
	if err = errors.Join(err, aside.Close()); err != nil {
		return err
	}
	return moveIntoPlace(aside.Name(), file)
}
