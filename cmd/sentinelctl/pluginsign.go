package main

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/atomicfile"
	"github.com/sentinelgo/sentinel/internal/plugin"
	"github.com/sentinelgo/sentinel/internal/plugin/host"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// signingKey reads a key that keygen wrote.
func signingKey(path string) (ed25519.PrivateKey, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, sentinel.Errorf(sentinel.NotFound, "--key: %w; `sentinelctl plugin keygen --out %s` makes one", err, path)
	}
	if err := private(path); err != nil {
		return nil, err
	}
	key, err := plugin.DecodePrivateKey(raw)
	if err != nil {
		return nil, fmt.Errorf("--key: %s: %w", path, err)
	}
	return key, nil
}

func (c *ctl) pluginPack() *cobra.Command {
	cmd := &cobra.Command{Use: "pack [DIR]", Short: "Make a bundle of a plugin", Args: command.Args(0, 1, pluginFolder),
		Long: `Make a bundle of a plugin: its manifest and its module in one file, checked, and
signed where --key names a key. Agents load bundles that a key which they trust signed.`,
		Example: "  sentinelctl plugin pack room --key operator.key"}
	out := cmd.Flags().String("out", "", "the bundle's file; by default NAME-VERSION"+plugin.Suffix)
	keyFile := cmd.Flags().String("key", "", "file of the key to sign with (sentinelctl plugin keygen makes one)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		b, err := bundleOf(cmd.Context(), folderOf(args))
		if err != nil {
			return err
		}
		m, err := host.Check(b)
		if err != nil {
			return err
		}
		if *keyFile != "" {
			key, err := signingKey(*keyFile)
			if err != nil {
				return err
			}
			b.Sign(key)
		}
		if *out == "" {
			*out = m.Name + "-" + m.Version + plugin.Suffix
		}
		if err := atomicfile.Replace(*out, b.Append(nil), 0o644); err != nil {
			return fmt.Errorf("write bundle: %w", err)
		}
		signed := "unsigned"
		if b.Signed() {
			signed = "signed by " + plugin.PublicKey(b.Key).String()
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s, %s\n", *out, signed)
		return err
	}
	return cmd
}

func (c *ctl) pluginKeygen() *cobra.Command {
	cmd := &cobra.Command{Use: "keygen --out FILE", Short: "Make a key that signs bundles", Args: command.NoArgs,
		Long: `Make a key that signs bundles, into a file for you alone, and print the public key,
which agents get as agent.plugins.trusted_keys. Keep the file offline: whoever has it
can run plugins on every host that trusts it, within what these hosts allow.`,
		Example: "  sentinelctl plugin keygen --out operator.key"}
	out := cmd.Flags().String("out", "", "the key's file")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *out == "" {
			return sentinel.Errorf(sentinel.Invalid, "--out: want the file for the key")
		}
		public, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			return err
		}
		raw, err := plugin.EncodePrivateKey(key)
		if err != nil {
			return err
		}
		f, err := os.OpenFile(*out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return sentinel.Errorf(sentinel.Conflict, "%s is there already; a key is never replaced", *out)
		}
		if err != nil {
			return err
		}
		_, err = f.Write(raw)
		if cerr := errors.Join(err, f.Sync(), f.Close()); cerr != nil {
			return fmt.Errorf("write key: %w", cerr)
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), plugin.PublicKey(public))
		return err
	}
	return cmd
}

func (c *ctl) pluginSign() *cobra.Command {
	cmd := &cobra.Command{Use: "sign BUNDLE --key FILE", Short: "Sign a bundle", Args: command.Args(1, 1, "a bundle"),
		Long:    `Sign a bundle, in place of whoever did before.`,
		Example: "  sentinelctl plugin sign room-0.1.0.plugin --key operator.key"}
	keyFile := cmd.Flags().String("key", "", "file of the key (sentinelctl plugin keygen makes one)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *keyFile == "" {
			return sentinel.Errorf(sentinel.Invalid, "--key: want the file of a key; `sentinelctl plugin keygen` makes one")
		}
		key, err := signingKey(*keyFile)
		if err != nil {
			return err
		}
		b, err := readBundle(args[0])
		if err != nil {
			return err
		}
		if _, err := host.Check(b); err != nil {
			return err
		}
		b.Sign(key)
		if err := atomicfile.Replace(args[0], b.Append(nil), 0o644); err != nil {
			return fmt.Errorf("write bundle: %w", err)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s, signed by %s\n", args[0], plugin.PublicKey(b.Key))
		return err
	}
	return cmd
}

func readBundle(path string) (plugin.Bundle, error) {
	b, err := plugin.ReadBundle(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = sentinel.Errorf(sentinel.NotFound, "%w; `sentinelctl plugin pack` makes a bundle", err)
	}
	return b, err
}

func (c *ctl) pluginInspect() *cobra.Command {
	cmd := &cobra.Command{Use: "inspect BUNDLE", Short: "Show what a bundle is, what it wants and who signed it", Args: command.Args(1, 1, "a bundle"),
		Long: `Show what a bundle is, what it wants and who signed it. With --trusted the exit code
is 3 unless one of these keys did.`,
		Example: "  sentinelctl plugin inspect room-0.1.0.plugin --trusted ed25519:…"}
	trusted := cmd.Flags().StringArray("trusted", nil, "a key that must have signed it; of several, one")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		b, err := readBundle(args[0])
		if err != nil {
			return err
		}
		keys := make([]plugin.PublicKey, len(*trusted))
		for i, text := range *trusted {
			if keys[i], err = plugin.ParsePublicKey(text); err != nil {
				return fmt.Errorf("--trusted: %w", err)
			}
		}
		if b.Signed() && len(keys) == 0 { // whoever it was, it has to be true
			keys = []plugin.PublicKey{plugin.PublicKey(b.Key)}
		}
		if len(keys) > 0 {
			if err := b.Verify(keys); err != nil {
				return err
			}
		}
		m, err := host.Check(b)
		if err != nil {
			return err
		}
		return c.print(cmd.OutOrStdout(), aboutPlugin(b, m), infoOf(b, m))
	}
	return cmd
}
