package main

import (
	"strconv"

	"github.com/spf13/cobra"
)

func (a *app) store() *cobra.Command {
	cmd := &cobra.Command{Use: "store", Short: "Stores of partitions", Long: "Stores of partitions.\n\n" + exitHelp}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("odradek store has no verb %q", args[0])
		}
		return cmd.Help()
	}
	cmd.AddCommand(&cobra.Command{
		Use: "copy PARTITION", Short: "Copy a partition's store on its owner's disk",
		Long: `Copy a partition's store, as it is now, on the disk of the instance that owns it, for
engine replay --store DIR. It costs little: the files are linked. The owner keeps at most
three copies of a partition; remove those that you have read.`,
		Example: "  odradek store copy 3",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := strconv.ParseInt(args[0], 10, 32)
			if err != nil || p < 0 {
				return usagef("%q is not the number of a partition, from 0", args[0])
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			defer c.Close()
			s, err := c.CopyStore(cmd.Context(), int32(p))
			if err != nil {
				return err
			}
			if a.output == "table" {
				a.rows([]string{"PARTITION", "INSTANCE", "DIR"}, [][]string{{args[0], s.Instance, s.Dir}})
				return nil
			}
			return a.document(s)
		},
	})
	return cmd
}
