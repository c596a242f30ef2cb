package models

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math/big"
	"strings"
	"sync"
	"unsafe"
)

// A secret is {prefix}_{kind}_{43 base62 characters of 32 random bytes}{6 base62 characters of the CRC-32 of all
// before}. The checksum finds a typo, an incomplete copy or a changed prefix without a look-up.
const (
	secretRandomBytes   = 32
	secretRandomLength  = 43 // 62^43 is the first power of 62 above 256^32
	secretChecksumBytes = 6
	secretTailLength    = secretRandomLength + secretChecksumBytes
	minPrefix           = 2
	maxPrefix           = 12
	maxSecretLength     = maxPrefix + len("_prod_") + secretTailLength
)

// DefaultKeyPrefix is the prefix of a project's secrets unless the project chose its own.
const DefaultKeyPrefix = "clv"

// SecretKind is what a secret is for. It is the part of the secret between the underscores.
type SecretKind string

const (
	SecretProduction SecretKind = "prod"
	SecretTest       SecretKind = "test"
	SecretService    SecretKind = "svc"
)

// Digest is the HMAC-SHA-256 of a secret under the instance's pepper. It is stored instead of the secret.
type Digest [sha256.Size]byte

// Secret is a parsed secret with the right form and checksum. It may still be unknown.
type Secret struct {
	Prefix string
	Kind   SecretKind
	plain  string
}

// Plain returns the whole secret. Use it only for the one response that shows it.
func (s Secret) Plain() string { return s.plain }

// String returns the secret with its random part hidden, so that printing one by mistake does not reveal it.
func (s Secret) String() string { return s.Prefix + "_" + string(s.Kind) + "_••••" }

// Last4 returns the last 4 characters, which lists show.
func (s Secret) Last4() string { return s.plain[len(s.plain)-4:] }

// NewSecret makes a secret from 32 bytes that it reads from random.
func NewSecret(random io.Reader, prefix string, kind SecretKind) (Secret, error) {
	var raw [secretRandomBytes]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return Secret{}, fmt.Errorf("reading random bytes: %w", err)
	}
	body := prefix + "_" + string(kind) + "_" + base62(new(big.Int).SetBytes(raw[:]), secretRandomLength)
	return Secret{Prefix: prefix, Kind: kind, plain: body + checksum(body)}, nil
}

// ParseSecret parses a secret. It returns false if the form or the checksum is wrong. It needs no look-up and no
// allocation.
func ParseSecret(plain string) (Secret, bool) {
	if len(plain) > maxSecretLength || len(plain) <= secretTailLength {
		return Secret{}, false
	}
	head, tail := plain[:len(plain)-secretTailLength], plain[len(plain)-secretTailLength:]
	prefix, kind, ok := splitHead(head)
	if !ok {
		return Secret{}, false
	}
	for i := range len(tail) {
		if !isBase62[tail[i]] {
			return Secret{}, false
		}
	}
	var sum [secretChecksumBytes]byte
	putChecksum(&sum, plain[:len(plain)-secretChecksumBytes])
	if plain[len(plain)-secretChecksumBytes:] != string(sum[:]) {
		return Secret{}, false
	}
	return Secret{Prefix: prefix, Kind: kind, plain: plain}, true
}

// LooksLikeServiceToken reports whether plain starts like a service token, valid or not. Such a credential must never
// be ignored or taken for another kind.
func LooksLikeServiceToken(plain string) bool {
	prefix, rest, found := strings.Cut(plain, "_")
	return found && isPrefix(prefix) && strings.HasPrefix(rest, string(SecretService)+"_")
}

// splitHead parses the part of a secret before the random characters, such as "clv_prod_".
func splitHead(head string) (prefix string, kind SecretKind, ok bool) {
	prefix, rest, found := strings.Cut(head, "_")
	if !found || !isPrefix(prefix) {
		return "", "", false
	}
	switch rest {
	case "prod_":
		return prefix, SecretProduction, true
	case "test_":
		return prefix, SecretTest, true
	case "svc_":
		return prefix, SecretService, true
	}
	return "", "", false
}

func isPrefix(s string) bool {
	if len(s) < minPrefix || len(s) > maxPrefix {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

const base62Alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

var isBase62 = func() (is [256]bool) {
	for i := range len(base62Alphabet) {
		is[base62Alphabet[i]] = true
	}
	return is
}()

// base62 returns n in base 62, with leading zeros up to length digits.
func base62(n *big.Int, length int) string {
	digits := make([]byte, length)
	n, radix, digit := new(big.Int).Set(n), big.NewInt(62), new(big.Int)
	for i := length - 1; i >= 0; i-- {
		n.DivMod(n, radix, digit)
		digits[i] = base62Alphabet[digit.Int64()]
	}
	return string(digits)
}

func checksum(body string) string {
	var sum [secretChecksumBytes]byte
	putChecksum(&sum, body)
	return string(sum[:])
}

func putChecksum(sum *[secretChecksumBytes]byte, body string) {
	n := crc32.ChecksumIEEE(bytesOf(body))
	for i := secretChecksumBytes - 1; i >= 0; i-- {
		sum[i] = base62Alphabet[n%62]
		n /= 62
	}
}

// Pepper is the instance's key for digests. Without it, a copy of the database reveals nothing about the secrets.
type Pepper struct {
	key  []byte
	macs *sync.Pool // of *mac, so that a digest allocates nothing
}

type mac struct {
	hash.Hash
	sum Digest
}

// PepperLength is the shortest length of a pepper, in bytes.
const PepperLength = 32

// NewPepper makes a pepper from its bytes. It returns an error if there are fewer than [PepperLength].
func NewPepper(key []byte) (Pepper, error) {
	if len(key) < PepperLength {
		return Pepper{}, fmt.Errorf("a pepper needs at least %d bytes, this one has %d", PepperLength, len(key))
	}
	macs := &sync.Pool{New: func() any { return &mac{Hash: hmac.New(sha256.New, key)} }}
	return Pepper{key: key, macs: macs}, nil
}

// Digest returns the digest of a secret.
func (p Pepper) Digest(s Secret) Digest { return p.digest(s.plain) }

func (p Pepper) digest(plain string) Digest {
	m := p.macs.Get().(*mac)
	defer p.macs.Put(m)
	m.Reset()
	m.Write(bytesOf(plain))
	m.Sum(m.sum[:0])
	return m.sum
}

// bytesOf returns the bytes of a text without copying them. They must not be written.
func bytesOf(text string) []byte { return unsafe.Slice(unsafe.StringData(text), len(text)) }

// HashSession returns the hash of a consumer's session as the request log stores it, nil for an empty session. Its 16
// bytes are enough to distinguish sessions.
func (p Pepper) HashSession(session string) []byte {
	if session == "" {
		return nil
	}
	d := p.digest("session " + session)
	return d[:16]
}

// fingerprint identifies a pepper without revealing it: it is the digest of a fixed text.
func (p Pepper) fingerprint() []byte {
	d := p.digest("claviger pepper fingerprint")
	return d[:]
}
