package models

import (
	"context"
	"crypto/rand"
	"math/big"
	"strings"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
)

const (
	minPassword = 10  // characters
	maxPassword = 256 // bytes: enough for any passphrase, and it limits the work of hashing
)

// PasswordCost is the work of one argon2id hash, and how many may be computed at the same time.
type PasswordCost struct {
	MemoryKiB  uint32
	Iterations uint32
	Parallel   int // hashes at once; further ones wait
}

// DefaultPasswordCost is OWASP's recommendation for argon2id. Two at once need at most 38 MiB.
var DefaultPasswordCost = PasswordCost{MemoryKiB: 19 * 1024, Iterations: 2, Parallel: 2}

// passwords hashes and compares passwords, a limited number at a time.
type passwords struct {
	params argon2id.Params
	slots  chan struct{}
}

func newPasswords(cost PasswordCost) *passwords {
	if cost == (PasswordCost{}) {
		cost = DefaultPasswordCost
	}
	return &passwords{
		params: argon2id.Params{
			Memory:      cost.MemoryKiB,
			Iterations:  cost.Iterations,
			Parallelism: 1,
			SaltLength:  16,
			KeyLength:   32,
		},
		slots: make(chan struct{}, cost.Parallel),
	}
}

// hash returns the argon2id hash of a password. It waits for a free slot or the end of ctx.
func (p *passwords) hash(ctx context.Context, password string) (string, error) {
	if err := p.acquire(ctx); err != nil {
		return "", err
	}
	defer p.release()
	return argon2id.CreateHash(password, &p.params)
}

// matches reports whether the hash is of the password. It compares in constant time. An empty hash, for an account that
// does not exist, takes as long and never matches.
func (p *passwords) matches(ctx context.Context, password, hash string) (bool, error) {
	if err := p.acquire(ctx); err != nil {
		return false, err
	}
	defer p.release()
	if hash == "" || len(password) > maxPassword {
		_, err := argon2id.CreateHash("", &p.params)
		return false, err
	}
	return argon2id.ComparePasswordAndHash(password, hash)
}

func (p *passwords) acquire(ctx context.Context) error {
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *passwords) release() { <-p.slots }

// passwordProblem returns what is wrong with a new password for the account, or "".
func passwordProblem(password, email string) string {
	switch {
	case password == "":
		return "Enter a password."
	case utf8.RuneCountInString(password) < minPassword:
		return "Use at least 10 characters."
	case len(password) > maxPassword:
		return "Use at most 256 characters."
	case strings.EqualFold(password, email):
		return "The password must not be the e-mail address."
	case strings.Count(password, password[:1]) == len(password):
		return "Use more than one different character."
	}
	return ""
}

// GeneratePassword returns a random password of 24 characters, for accounts that scripts set up.
func GeneratePassword() string {
	var raw [16]byte
	rand.Read(raw[:]) // never fails
	return base62(new(big.Int).SetBytes(raw[:]), 24)
}
