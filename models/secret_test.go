package models

import (
	"bytes"
	"crypto/rand"
	"hash/crc32"
	"math/big"
	"regexp"
	"strings"
	"testing"
)

func TestSecretHasTheFormOfTheSpecification(t *testing.T) {
	form := regexp.MustCompile(`^acme_test_[0-9A-Za-z]{49}$`)
	for range 100 {
		secret, err := NewSecret(rand.Reader, "acme", SecretTest)
		if err != nil {
			t.Fatal(err)
		}
		if !form.MatchString(secret.Plain()) {
			t.Fatalf("%q has another form", secret.Plain())
		}
		parsed, ok := ParseSecret(secret.Plain())
		if !ok || parsed != secret {
			t.Fatalf("a secret that was just made does not parse: %v", ok)
		}
	}
}

// The random part and the checksum, worked out here in another way than the code does.
func TestSecretEncodesItsRandomBytesAndChecksum(t *testing.T) {
	raw := append(bytes.Repeat([]byte{0}, 31), 62) // the number 62: "10" in base 62
	secret, err := NewSecret(bytes.NewReader(raw), "clv", SecretProduction)
	if err != nil {
		t.Fatal(err)
	}
	body := "clv_prod_" + strings.Repeat("0", 41) + "10"
	sum := new(big.Int).SetUint64(uint64(crc32.ChecksumIEEE([]byte(body)))).Text(62)
	// big.Int writes digits, then lower case, then upper case; secrets have upper case first.
	sum = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return r
	}, sum)
	want := body + strings.Repeat("0", 6-len(sum)) + sum
	if secret.Plain() != want {
		t.Errorf("got  %s\nwant %s", secret.Plain(), want)
	}
}

func TestAChangedSecretIsRejectedByItsChecksum(t *testing.T) {
	secret, err := NewSecret(rand.Reader, "clv", SecretProduction)
	if err != nil {
		t.Fatal(err)
	}
	plain := secret.Plain()
	for i := range len(plain) {
		for _, c := range []byte("aZ0_-") {
			if changed := plain[:i] + string(c) + plain[i+1:]; changed != plain {
				if _, ok := ParseSecret(changed); ok {
					t.Errorf("a typo at %d was not noticed: %s", i, changed)
				}
			}
		}
	}
	for _, changed := range []string{
		"", plain[:len(plain)-1], plain[1:], plain + "x", " " + plain, plain + "\n", strings.ToUpper(plain),
		strings.Replace(plain, "clv_", "abc_", 1), strings.Replace(plain, "_prod_", "_test_", 1),
		strings.Replace(plain, "_prod_", "_svc_", 1), strings.Repeat("x", 1000),
	} {
		if _, ok := ParseSecret(changed); ok {
			t.Errorf("%q was accepted", changed)
		}
	}
}

func TestPrintingASecretHidesIt(t *testing.T) {
	secret, err := NewSecret(rand.Reader, "clv", SecretProduction)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(secret.String(), secret.Plain()[9:]) {
		t.Error("String gives the secret away")
	}
}

func TestParsingASecretAllocatesNothing(t *testing.T) {
	secret, err := NewSecret(rand.Reader, "clv", SecretProduction)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { ParseSecret(secret.Plain()) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestLooksLikeServiceToken(t *testing.T) {
	for text, want := range map[string]bool{
		"clv_svc_": true, "clv_svc_anything at all": true, "clv_prod_x": false, "svc_": false, "CLV_svc_x": false,
		"a_svc_x": false, "eyJhbGciOi.e30.x": false, "": false, "clv_svcx": false,
	} {
		if got := LooksLikeServiceToken(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestDigestDependsOnThePepper(t *testing.T) {
	one, _ := NewPepper(bytes.Repeat([]byte("1"), 32))
	two, _ := NewPepper(bytes.Repeat([]byte("2"), 32))
	secret, err := NewSecret(rand.Reader, "clv", SecretProduction)
	if err != nil {
		t.Fatal(err)
	}
	if first, again := one.Digest(secret), one.Digest(secret); first != again || first == two.Digest(secret) {
		t.Error("the digest must be a function of secret and pepper")
	}
	if _, err := NewPepper(bytes.Repeat([]byte("1"), 31)); err == nil {
		t.Error("a short pepper was taken")
	}
}

func FuzzParseSecret(f *testing.F) {
	secret, err := NewSecret(rand.Reader, "clv", SecretTest)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(secret.Plain())
	f.Add("clv_prod_" + strings.Repeat("0", 49))
	f.Add("__\x00")
	f.Fuzz(func(t *testing.T, plain string) {
		parsed, ok := ParseSecret(plain)
		if !ok {
			return
		}
		body := plain[:len(plain)-6]
		if checksum(body) != plain[len(plain)-6:] {
			t.Error("the checksum is wrong and was accepted")
		}
		if !strings.HasPrefix(plain, parsed.Prefix+"_"+string(parsed.Kind)+"_") ||
			parsed.Plain() != plain ||
			len(plain) > maxSecretLength {
			t.Errorf("%q was read as %q %q", plain, parsed.Prefix, parsed.Kind)
		}
	})
}
