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

// Secrets are the secrets of an instance. They are not stored in the database.
type Secrets struct {
	Pepper    models.Pepper
	CookieKey []byte // signs session cookies
}

// LoadSecrets creates the data folder and reads the instance's secrets from it. It creates missing secrets, readable
// only by the owner. If the pepper comes from the environment, as with several machines, the cookie key is derived
// from it, so that every machine has the same one. With Postgres, no folder is needed then.
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
		if pepper, err = loadOrCreate(filepath.Join(c.Data, "pepper")); err != nil {
			return Secrets{}, err
		}
		if s.CookieKey, err = loadOrCreate(filepath.Join(c.Data, "cookie.key")); err != nil {
			return Secrets{}, err
		}
	}
	s.Pepper, err = models.NewPepper(pepper)
	return s, err
}

// loadOrCreate reads a secret file. If the file does not exist, it creates one with 32 random bytes in base64. If two
// processes start at the same time, one creates the file and both read it.
func loadOrCreate(path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := createSecretFile(path); err != nil {
			return nil, fmt.Errorf("cannot create %s: %w", path, err)
		}
		content, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, err
	}
	secret := strings.TrimSpace(string(content))
	if len(secret) < models.PepperLength {
		return nil, fmt.Errorf("%s is damaged: it must hold at least %d characters. "+
			"Restore the right one from a copy", path, models.PepperLength)
	}
	return []byte(secret), nil
}

// createSecretFile writes a temporary file and links it to path, so that no process reads an incomplete file and an
// existing file is not replaced.
func createSecretFile(path string) error {
	random := make([]byte, 32)
	if _, err := rand.Read(random); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.WriteString(base64.StdEncoding.EncodeToString(random) + "\n")
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	if err := os.Link(temp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
