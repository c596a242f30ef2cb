package config

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/claviger/claviger/models"
)

// Secrets are what an instance keeps beside its database.
type Secrets struct {
	Pepper    models.Pepper
	CookieKey []byte // signs session cookies
}

// LoadSecrets makes the data folder and reads the instance's secrets from it, making those that are missing, readable by
// the owner alone. Where the pepper comes from the environment, as it does with several machines, the cookie key is
// derived from it, so that every machine has the same one; with Postgres, no folder is needed then.
func (c Config) LoadSecrets() (Secrets, error) {
	if c.Pepper == "" || c.DatabaseURL == "" {
		if err := os.MkdirAll(c.Data, 0o700); err != nil {
			return Secrets{}, fmt.Errorf("cannot make the data folder: %w", err)
		}
	}
	var s Secrets
	pepper, err := []byte(c.Pepper), error(nil)
	if c.Pepper != "" {
		if s.CookieKey, err = hkdf.Key(sha256.New, pepper, nil, "claviger session cookies", 32); err != nil {
			return Secrets{}, err
		}
	} else {
		if pepper, err = loadOrMake(filepath.Join(c.Data, "pepper")); err != nil {
			return Secrets{}, err
		}
		if s.CookieKey, err = loadOrMake(filepath.Join(c.Data, "cookie.key")); err != nil {
			return Secrets{}, err
		}
	}
	s.Pepper, err = models.NewPepper(pepper)
	return s, err
}

// loadOrMake reads a secret file, and makes it with 32 random bytes in base64 where there is none. Of two processes that
// start at once, one makes it and both read it.
func loadOrMake(path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeSecretFile(path); err != nil {
			return nil, fmt.Errorf("cannot make %s: %w", path, err)
		}
		content, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, err
	}
	secret := strings.TrimSpace(string(content))
	if len(secret) < models.PepperLength {
		return nil, fmt.Errorf("%s is damaged: it must hold at least %d characters. Put the right one back from a copy", path, models.PepperLength)
	}
	return []byte(secret), nil
}

// makeSecretFile writes aside and links into place, so that nobody ever reads half a file and an existing one stays.
func makeSecretFile(path string) error {
	random := make([]byte, 32)
	if _, err := rand.Read(random); err != nil {
		return err
	}
	aside, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(aside.Name())
	_, err = aside.WriteString(base64.StdEncoding.EncodeToString(random) + "\n")
	if err == nil {
		err = aside.Sync()
	}
	if err = errors.Join(err, aside.Close()); err != nil {
		return err
	}
	if err := os.Link(aside.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
