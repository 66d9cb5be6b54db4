package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/audit"
)

func newAuditProve(log *auditLog) *cobra.Command {
	return &cobra.Command{
		Use:   "prove SEQ",
		Short: "Print a proof that a record is in the log",
		Long: `Prints, as JSON, the record, the newest checkpoint, and the hashes that lead from
the one to the other. audit verify-proof checks it without the log.`,
		Args: takes("SEQ"),
		RunE: func(cmd *cobra.Command, args []string) error {
			seq, err := strconv.ParseUint(args[0], 10, 62)
			if err != nil || seq == 0 {
				return usageError(fmt.Errorf("record %q: expected its number, from 1", args[0]))
			}
			p, err := audit.Prove(cmd.Context(), log.path(), seq)
			if err != nil {
				return err
			}
			return printProof(cmd, p)
		},
	}
}

func newAuditConsistency(log *auditLog) *cobra.Command {
	return &cobra.Command{
		Use:   "consistency A B",
		Short: "Print a proof that one checkpoint contains another",
		Long: `Prints, as JSON, a proof that nothing was changed between two checkpoints: that
all records of A are in B, in the same order. Each is a file with a signed checkpoint, the
number of records of one that the log has, or "newest". audit verify-proof checks it
without the log.`,
		Args: takes("A", "B"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var checkpoints [2][]byte
			for i, arg := range args {
				var err error
				if checkpoints[i], err = checkpointOf(cmd, log, arg); err != nil {
					return err
				}
			}
			p, err := audit.Consistency(cmd.Context(), log.path(), checkpoints[0], checkpoints[1])
			if err != nil {
				return err
			}
			return printProof(cmd, p)
		},
	}
}

func newAuditCheckpoint(log *auditLog) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "checkpoint",
		Short: "Print the newest signed checkpoint, to be kept elsewhere",
		Args:  takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			signed, err := audit.Checkpoint(log.path(), 0)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]string{"checkpoint": string(signed)})
			}
			_, err = cmd.OutOrStdout().Write(signed)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as a JSON string")
	return cmd
}

func newAuditNewKey() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "new-key FILE",
		Short: "Make a signing key that is not kept beside the log",
		Long: `Makes a key pair: the private key goes into FILE, with mode 0600, for audit.key_file of
the configuration; the public key is printed, for audit verify --key. A log without
key_file makes its own pair when it begins.`,
		Args: takes("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			private, public, err := audit.NewKey()
			if err != nil {
				return err
			}
			f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return err
			}
			_, err = f.WriteString(private + "\n")
			if err := errors.Join(err, f.Close()); err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]string{"file": args[0], "public_key": public})
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), public)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the file and the public key as JSON")
	return cmd
}

// checkpointOf finds a checkpoint by its number of records, in a file, or the newest.
func checkpointOf(cmd *cobra.Command, log *auditLog, arg string) ([]byte, error) {
	if arg == "newest" {
		return audit.Checkpoint(log.path(), 0)
	}
	if size, err := strconv.ParseUint(arg, 10, 62); err == nil && size > 0 {
		return audit.Checkpoint(log.path(), size)
	}
	return fileOrStdin(cmd, arg)
}

func printProof(cmd *cobra.Command, p *audit.Proof) error {
	encoder := json.NewEncoder(cmd.OutOrStdout())
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(p)
}

func newAuditVerifyProof(log *auditLog) *cobra.Command {
	var key string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify-proof FILE",
		Short: "Check a proof that prove or consistency has printed",
		Long: `Checks a proof, from a file or from stdin (-), and says what it proves. It needs
the log's public key (audit.pub) and nothing else of the log.

Exit codes: 0 proved, 1 not.`,
		Args: takes("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := fileOrStdin(cmd, args[0])
			if err != nil {
				return err
			}
			public := ""
			if key != "" {
				text, err := os.ReadFile(key)
				if err != nil {
					return err
				}
				public = string(text)
			} else if public, err = audit.PublicKey(log.path()); err != nil {
				return err
			}
			proved, err := audit.CheckProof(data, public)
			if err != nil {
				return fmt.Errorf("not proved: %w", err)
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]string{"proved": fmt.Sprint(proved)})
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "proved:", proved)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what is proved as JSON")
	cmd.Flags().StringVar(&key, "key", "", "a file with the public key (default: that of the log)")
	return cmd
}
