//go:build core

package main

import (
	"context"
	"io"
)

// routes and drivers are not of the core agent.
func routes(context.Context, []string, io.Writer, io.Writer) error { return errCore }

func drivers(context.Context, []string, io.Writer, io.Writer) error { return errCore }

var errCore = wrongUse("this is the core agent, which has no routes and no drivers; install the gateway agent")
