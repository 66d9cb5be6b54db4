package main

import (
	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/config"
)

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Write the JSON Schema of the configuration, for editors",
		Long: `Writes the JSON Schema of the configuration file. Editors with a YAML language
server complete and check with it, when the file begins with

  # yaml-language-server: $schema=understudy.schema.json

init writes both. What a schema cannot say, check does.`,
		Example: `  understudy schema > understudy.schema.json`,
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			schema, err := config.Schema()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(schema)
			return err
		},
	}
}
