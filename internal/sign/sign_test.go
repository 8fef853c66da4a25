package sign_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/sign"
)

func envelope() *sentinelpb.Envelope {
	return &sentinelpb.Envelope{AgentId: "ag-one", Epoch: 7, Seq: 3, Count: 2, Codec: sentinelpb.Codec_CODEC_CYCLES_V1, Payload: []byte("payload")}
}

func fixedKey(t *testing.T) sign.Key {
	t.Helper()
	k, err := sign.KeyFromSecret("k-1", bytes.Repeat([]byte{0x42}, sign.SecretSize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The vector was computed with an independent implementation (Python's hmac and
// hashlib) from the description in the package comment.
func TestBatchSignatureVector(t *testing.T) {
	e := envelope()
	fixedKey(t).Batch(e)
	const want = "636e3ad6902a497d3530ecef8828e9a26bbbfe71741fafdf1aa7b36118e379c5"
	if got := hex.EncodeToString(e.Mac); got != want {
		t.Errorf("mac is %s, want %s", got, want)
	}
}

// TestP16EveryFieldIsSigned alters each field of the envelope in turn.
func TestP16EveryFieldIsSigned(t *testing.T) {
	k := fixedKey(t)
	signed := envelope()
	k.Batch(signed)
	if !k.VerifyBatch(signed) {
		t.Fatal("an unaltered batch does not verify")
	}
	fields := signed.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		e := proto.Clone(signed).(*sentinelpb.Envelope)
		r := e.ProtoReflect()
		switch v := r.Get(f); f.Kind() {
		case protoreflect.StringKind:
			r.Set(f, protoreflect.ValueOfString(v.String()+"x"))
		case protoreflect.BytesKind:
			raw := bytes.Clone(v.Bytes())
			raw[0] ^= 1
			r.Set(f, protoreflect.ValueOfBytes(raw))
		case protoreflect.Fixed64Kind, protoreflect.Uint64Kind:
			r.Set(f, protoreflect.ValueOfUint64(v.Uint()+1))
		case protoreflect.Uint32Kind:
			r.Set(f, protoreflect.ValueOfUint32(uint32(v.Uint())+1))
		case protoreflect.EnumKind:
			r.Set(f, protoreflect.ValueOfEnum(v.Enum()+1))
		default:
			t.Fatalf("field %s has a kind this test does not know", f.Name())
		}
		if k.VerifyBatch(e) {
			t.Errorf("an altered %s is not noticed", f.Name())
		}
	}
}

func TestP16FieldsCannotBeShifted(t *testing.T) {
	k := fixedKey(t)
	a := &sentinelpb.Envelope{AgentId: "ab"}
	k.Batch(a)
	b := &sentinelpb.Envelope{AgentId: "a", KeyId: "b" + a.KeyId, Mac: a.Mac}
	other, err := sign.KeyFromSecret(b.KeyId, k.Secret())
	if err != nil {
		t.Fatal(err)
	}
	if other.VerifyBatch(b) {
		t.Error("a character moved from one field to the next is not noticed")
	}
}

func TestSessionProof(t *testing.T) {
	k := fixedKey(t)
	mine, theirs := sign.NewNonce(), sign.NewNonce()
	mac := k.Session("ag-one", mine, theirs)
	if !k.VerifySession("ag-one", mine, theirs, mac) {
		t.Error("a right proof is refused")
	}
	if k.VerifySession("ag-one", theirs, mine, mac) || k.VerifySession("ag-two", mine, theirs, mac) || sign.NewKey().VerifySession("ag-one", mine, theirs, mac) {
		t.Error("a proof for another session, agent or key is taken")
	}
	e := envelope()
	e.Mac = mac
	e.KeyId = k.ID
	if k.VerifyBatch(e) {
		t.Error("a session's proof signs a batch")
	}
}

func TestP20KeysDoNotPrint(t *testing.T) {
	k := sign.NewKey()
	var buf bytes.Buffer
	slog.New(slog.NewJSONHandler(&buf, nil)).Info("key", "key", k, "credential", sign.Credential{Agent: "ag-one", Key: k})
	text := buf.String() + fmt.Sprintf("%v %+v %#v %s %q", k, k, k, k, k) + fmt.Sprintf("%+v %#v", sign.Credential{Key: k}, &sign.Credential{Key: k})
	for _, secret := range []string{k.SecretText(), hex.EncodeToString(k.Secret()), fmt.Sprintf("%d", k.Secret())} {
		if strings.Contains(text, strings.Trim(secret, "[]")) {
			t.Errorf("the secret is in %s", text)
		}
	}
}

func TestVaultBindsASecretToItsRow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.key")
	if err := sign.CreateMasterKey(path); err != nil {
		t.Fatal(err)
	}
	if err := sign.CreateMasterKey(path); err == nil {
		t.Error("a master key file was replaced")
	}
	v, err := sign.LoadVault(path)
	if err != nil {
		t.Fatal(err)
	}
	k := sign.NewKey()
	sealed := v.Seal("ag-one", k)
	if bytes.Contains(sealed, k.Secret()) {
		t.Error("the sealed form holds the secret in clear")
	}
	got, err := v.Open("ag-one", k.ID, sealed)
	if err != nil || !bytes.Equal(got.Secret(), k.Secret()) {
		t.Errorf("open: %v", err)
	}
	if _, err := v.Open("ag-two", k.ID, sealed); err == nil {
		t.Error("a secret moved to another agent opens")
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := v.Open("ag-one", k.ID, bad); err == nil {
			t.Errorf("a secret altered at byte %d opens", i)
		}
	}
	other, err := sign.NewVault("m-2", make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Open("ag-one", k.ID, sealed); err == nil {
		t.Error("another master key opens the secret")
	}
}

func TestCredentialFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "credential.json")
	c := sign.Credential{Agent: "ag-one", Key: sign.NewKey()}
	store := sign.FileStore(path)
	if err := store.Save(c); err != nil {
		t.Fatal(err)
	}
	got, err := store.Load()
	if err != nil || got != c {
		t.Fatalf("got %v, %v", got, err)
	}
	if runtime.GOOS != "windows" {
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Load(); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("a readable credential: %v", err)
		}
	}
	for _, text := range []string{"", "{", `{"agent_id":"ag-one","key_id":"k","secret":"c2hvcnQ="}`, `{"agent_id":"A B","key_id":"k","secret":""}`, `{"agent":"x"}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Load(); sentinel.CodeOf(err) != sentinel.Invalid {
			t.Errorf("credential %q: %v", text, err)
		}
	}
}

func FuzzVerifyBatch(f *testing.F) {
	e := envelope()
	k, err := sign.KeyFromSecret("k-1", bytes.Repeat([]byte{1}, sign.SecretSize))
	if err != nil {
		f.Fatal(err)
	}
	k.Batch(e)
	raw, err := proto.Marshal(e)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, data []byte) {
		var got sentinelpb.Envelope
		if proto.Unmarshal(data, &got) != nil {
			return
		}
		if k.VerifyBatch(&got) && !proto.Equal(&got, e) {
			got.ProtoReflect().SetUnknown(nil)
			if !proto.Equal(&got, e) {
				t.Error("a different envelope verifies")
			}
		}
	})
}

// TestMasterKeyRotation: what an older master key sealed opens beside the new one,
// and what the new one sealed does not open without it.
func TestMasterKeyRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.key")
	if err := sign.CreateMasterKey(path); err != nil {
		t.Fatal(err)
	}
	before, err := sign.LoadVault(path)
	if err != nil {
		t.Fatal(err)
	}
	k := sign.NewKey()
	old := before.Seal("ag-one", k)
	id, err := sign.RotateMasterKey(path)
	if err != nil {
		t.Fatal(err)
	}
	after, err := sign.LoadVault(path)
	if err != nil {
		t.Fatal(err)
	}
	if after.ID() != id || id == before.ID() {
		t.Errorf("the new file seals under %s, want %s", after.ID(), id)
	}
	if _, err := after.Open("ag-one", k.ID, old); err != nil {
		t.Errorf("an older secret: %v", err)
	}
	if _, err := before.Open("ag-one", k.ID, after.Seal("ag-one", k)); err == nil {
		t.Error("the old master key opens what the new one sealed")
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, %v", info.Mode(), err)
	}
}

func TestParseVaultRefuses(t *testing.T) {
	line := func(id string) string { return id + ":" + base64.StdEncoding.EncodeToString(make([]byte, 32)) + "\n" }
	for name, text := range map[string]string{
		"nothing": "", "no id": line(""), "no colon": "abc", "not base64": "m:###", "too short": "m:c2hvcnQ=",
		"the same id twice": line("a") + line("a"), "a comment": "# key\n" + line("a"), "too many": strings.Repeat(line("a"), 17),
	} {
		if _, err := sign.ParseVault(text); sentinel.CodeOf(err) != sentinel.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := sign.ParseVault("\n" + line("a") + "\r\n" + line("b") + "\n"); err != nil {
		t.Error(err)
	}
}
