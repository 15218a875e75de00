package main

import "github.com/spf13/cobra"

// choice is what of a list is wanted, and in which order.
type choice struct{ filter, sort string }

// add offers the flags --filter and --sort; keys are those of the list's filters beside created, orders what it is sorted by.
func (ch *choice) add(cmd *cobra.Command, keys, orders string) {
	f := cmd.Flags()
	f.StringVar(&ch.filter, "filter", "", "only those that this takes, in the language of 'hawserctl device search --help'; keys are\n"+keys+", created")
	f.StringVar(&ch.sort, "sort", "", "created, "+orders+"; -created and so on for the other way round")
}

func (ch *choice) parts() (filter, sort *string) { return optional(ch.filter), optional(ch.sort) }
