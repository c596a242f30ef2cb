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

// A secret is {prefix}_{kind}_{43 base62 characters of 32 random bytes}{6 base62 characters of the CRC-32 of all before}.
// The checksum finds a typo, a cut-off copy or a swapped prefix with no look-up.
const (
	secretRandomBytes   = 32
	secretRandomLength  = 43 // 62^43 is the first power of 62 above 256^32
	secretChecksumBytes = 6
	secretTailLength    = secretRandomLength + secretChecksumBytes
	minPrefix           = 2
	maxPrefix           = 12
	maxSecretLength     = maxPrefix + len("_prod_") + secretTailLength
)

// DefaultKeyPrefix is what secrets of a project start with unless it chose its own.
const DefaultKeyPrefix = "clv"

// SecretKind tells what a secret is for; it is the part of the secret between the underscores.
type SecretKind string

const (
	SecretProduction SecretKind = "prod"
	SecretTest       SecretKind = "test"
	SecretService    SecretKind = "svc"
)

// Digest is what is stored in place of a secret: its HMAC-SHA-256 under the instance's pepper.
type Digest [sha256.Size]byte

// Secret is a parsed secret: well formed and with a right checksum. Whether it is known is for a look-up to say.
type Secret struct {
	Prefix string
	Kind   SecretKind
	plain  string
}

// Plain is the whole secret. It goes into the one response that shows it, and nowhere else.
func (s Secret) Plain() string { return s.plain }

// String hides the secret, so that printing one by mistake gives nothing away.
func (s Secret) String() string { return s.Prefix + "_" + string(s.Kind) + "_••••" }

// Last4 are the characters that lists show.
func (s Secret) Last4() string { return s.plain[len(s.plain)-4:] }

// NewSecret makes a secret from 32 bytes of random.
func NewSecret(random io.Reader, prefix string, kind SecretKind) (Secret, error) {
	var raw [secretRandomBytes]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return Secret{}, fmt.Errorf("reading random bytes: %w", err)
	}
	body := prefix + "_" + string(kind) + "_" + base62(new(big.Int).SetBytes(raw[:]), secretRandomLength)
	return Secret{Prefix: prefix, Kind: kind, plain: body + checksum(body)}, nil
}

// ParseSecret tells whether plain has the form and the checksum of a secret. It costs no look-up and no allocation.
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

// LooksLikeServiceToken tells whether plain means to be a service token, well formed or not. Such a credential is
// never taken for something else and never ignored.
func LooksLikeServiceToken(plain string) bool {
	prefix, rest, found := strings.Cut(plain, "_")
	return found && isPrefix(prefix) && strings.HasPrefix(rest, string(SecretService)+"_")
}

// splitHead reads "clv_prod_".
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

// base62 writes n in length digits, with leading zeros.
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

// Pepper is the instance's own key for digests. Without it a copy of the database tells nothing about any secret.
type Pepper struct {
	key  []byte
	macs *sync.Pool // of *mac, so that a digest allocates nothing
}

type mac struct {
	hash.Hash
	sum Digest
}

// PepperLength is how many random bytes a pepper has.
const PepperLength = 32

// NewPepper takes the bytes of a pepper; they must be at least [PepperLength].
func NewPepper(key []byte) (Pepper, error) {
	if len(key) < PepperLength {
		return Pepper{}, fmt.Errorf("a pepper needs at least %d bytes, this one has %d", PepperLength, len(key))
	}
	return Pepper{key: key, macs: &sync.Pool{New: func() any { return &mac{Hash: hmac.New(sha256.New, key)} }}}, nil
}

// Digest is the HMAC-SHA-256 of a secret.
func (p Pepper) Digest(s Secret) Digest { return p.digest(s.plain) }

func (p Pepper) digest(plain string) Digest {
	m := p.macs.Get().(*mac)
	defer p.macs.Put(m)
	m.Reset()
	m.Write(bytesOf(plain))
	m.Sum(m.sum[:0])
	return m.sum
}

// bytesOf are the bytes of a text, without a copy: they must only be read.
func bytesOf(text string) []byte { return unsafe.Slice(unsafe.StringData(text), len(text)) }

// HashSession is what the log keeps of a consumer's session: enough to tell sessions apart. Nil for none.
func (p Pepper) HashSession(session string) []byte {
	if session == "" {
		return nil
	}
	d := p.digest("session " + session)
	return d[:16]
}

// fingerprint tells peppers apart and gives none away: a digest of a text that is no secret.
func (p Pepper) fingerprint() []byte {
	d := p.digest("claviger pepper fingerprint")
	return d[:]
}
