package main

import (
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/odradek/odradek/client"
)

func (a *app) workflows() *cobra.Command {
	wf := &cobra.Command{Use: "wf", Aliases: []string{"workflow"}, Short: "Workflows", Long: "Start, signal, end and inspect workflows.\n\n" + exitHelp}
	wf.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("odradek wf has no verb %q", args[0])
		}
		return cmd.Help()
	}
	wf.AddCommand(a.start(), a.get(), a.list(), a.count(), a.stack(), a.history(), a.signal(), a.query(), a.update(), a.cancel(), a.terminate(), a.why(), a.retry(), a.reset(), a.pause(), a.resume(), a.result())
	return wf
}

// payload are the flags that give a payload.
type payload struct {
	json, file, commandID string
}

func (p *payload) flags(cmd *cobra.Command, what string) {
	p.inputFlags(cmd, what)
	cmd.Flags().StringVar(&p.commandID, "command-id", "", "makes repeats of this command one; default: a new one")
}

func (p *payload) inputFlags(cmd *cobra.Command, what string) {
	f := cmd.Flags()
	f.StringVarP(&p.json, "input", "i", "", what+", JSON")
	f.StringVarP(&p.file, "input-file", "f", "", "file with the "+what+"; - is stdin")
	cmd.MarkFlagsMutuallyExclusive("input", "input-file")
}

func (p *payload) read(a *app) ([]byte, error) {
	switch p.file {
	case "":
		return []byte(p.json), nil
	case "-":
		b, err := io.ReadAll(io.LimitReader(a.stdin, client.PayloadBytesMax+1))
		if err != nil {
			return nil, usagef("read the input from stdin: %w", err)
		}
		return b, nil
	}
	b, err := os.ReadFile(p.file)
	if err != nil {
		return nil, usagef("read the input: %w", err)
	}
	return b, nil
}
