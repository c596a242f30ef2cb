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

// audit verifies the chains of the audit log. It changes nothing in the database and may run beside a server.
func audit(ctx context.Context, c config.Config, args []string, out io.Writer) error {
	const auditUsage = "usage: claviger audit verify [--checkpoint FILE]"
	if len(args) == 0 || args[0] != "verify" {
		return errors.New(auditUsage)
	}
	flags := flag.NewFlagSet("audit verify", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // Main writes the error
	file := flags.String("checkpoint", "", "file with the ends of the chains at the last verification; replaced")
	switch err := flags.Parse(args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		_, err := io.WriteString(out, usage)
		return err
	case err != nil:
		return fmt.Errorf("audit verify: %w", err)
	case flags.NArg() > 0:
		return errors.New(auditUsage)
	}
	var earlier []models.Checkpoint
	if *file != "" {
		var err error
		if earlier, err = readCheckpoints(*file); err != nil {
			return err
		}
	}
	ends, err := verifyAudit(ctx, c, earlier)
	if err != nil {
		return err
	}
	if *file != "" {
		if err := writeCheckpoints(*file, ends); err != nil {
			return fmt.Errorf("the audit log is intact, but the checkpoint cannot be written: %w", err)
		}
	}
	rows := int64(0)
	for _, end := range ends {
		rows += end.Seq
	}
	_, err = fmt.Fprintf(out, "Verified %d rows in %d chains.\n", rows, len(ends))
	return err
}

// verifyAudit opens the database without migrating it, and verifies its audit log.
func verifyAudit(ctx context.Context, c config.Config, earlier []models.Checkpoint) ([]models.Checkpoint, error) {
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

// checkpointFile is the JSON in the file of --checkpoint.
type checkpointFile struct {
	Chains []models.Checkpoint `json:"chains"`
}

// readCheckpoints reads the checkpoints that the last verification wrote. It returns nil if the file does not exist.
func readCheckpoints(file string) ([]models.Checkpoint, error) {
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var checkpoints checkpointFile
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	// A checkpoint always has at least the chain of the instance.
	if err := decoder.Decode(&checkpoints); err != nil || len(checkpoints.Chains) == 0 {
		return nil, fmt.Errorf("%s is not a checkpoint file. "+
			"Restore the right one from a copy, or remove it to start without one", file)
	}
	return checkpoints.Chains, nil
}

// writeCheckpoints writes a temporary file and renames it, so that file is always complete.
func writeCheckpoints(file string, ends []models.Checkpoint) error {
	content, err := json.MarshalIndent(checkpointFile{ends}, "", "  ")
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(file), ".checkpoint-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(append(content, '\n'))
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	return renameDurably(temp.Name(), file)
}
