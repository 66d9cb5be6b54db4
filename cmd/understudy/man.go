package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newMan() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages into a directory",
		Long: `Writes a manual page for each command into a directory, which is made if it is
missing. They say what --help says.`,
		Example: `  understudy man /usr/local/share/man/man1
  understudy man /tmp/man && man /tmp/man/understudy.1`,
		Args: takes("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true
			// The date would make every build's pages differ; it is that of no day.
			header := &doc.GenManHeader{Title: "UNDERSTUDY", Section: "1", Source: "understudy " + version, Manual: "Understudy", Date: &time.Time{}}
			forPages(root)
			if err := doc.GenManTree(root, header, args[0]); err != nil {
				return fmt.Errorf("write manual pages: %w", err)
			}
			pages, err := filepath.Glob(filepath.Join(args[0], "understudy*.1"))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.ErrOrStderr(), "%s in %s; try: man %s\n", count(len(pages), "page"), args[0], filepath.Join(args[0], "understudy.1"))
			return err
		},
	}
}

// forPages has tables in the descriptions stay tables: in the manual what is indented by less than four is a paragraph.
func forPages(cmd *cobra.Command) {
	lines := strings.Split(cmd.Long, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "  ") {
			lines[i] = "    " + line
		}
	}
	cmd.Long = strings.Join(lines, "\n")
	for _, below := range cmd.Commands() {
		forPages(below)
	}
}
