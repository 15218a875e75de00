package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"
)

// asker asks whoever sits there, or reads what a script sends.
type asker struct {
	*cli
	lines *bufio.Reader
	quiet bool // what is read is a script's, also from a terminal
}

func (c *cli) asker() *asker { return &asker{cli: c, lines: bufio.NewReader(c.in)} }

// terminal is the terminal that somebody types at, if there is one.
func (a *asker) terminal() (fd int, ok bool) {
	f, isFile := a.in.(*os.File)
	if !isFile || a.quiet {
		return 0, false
	}
	return int(f.Fd()), term.IsTerminal(int(f.Fd()))
}

func (a *asker) line(prompt string) (string, error) {
	if _, ok := a.terminal(); ok {
		fmt.Fprint(a.errOut, prompt)
	}
	line, err := a.lines.ReadString('\n')
	line = strings.TrimRight(line, "\r\n")
	if err != nil && line == "" {
		return "", usageError{fmt.Errorf("%sstandard input ended: %w", strings.ToLower(prompt), err)}
	}
	return line, nil
}

// secret is line without an echo.
func (a *asker) secret(prompt string) (string, error) {
	fd, ok := a.terminal()
	if !ok {
		return a.line(prompt)
	}
	fmt.Fprint(a.errOut, prompt)
	b, err := term.ReadPassword(fd)
	fmt.Fprintln(a.errOut)
	if err != nil {
		return "", usageError{fmt.Errorf("%s%w", strings.ToLower(prompt), err)}
	}
	return string(b), nil
}

// withCode makes a call, and again with a code of the second factor when the hub wants one.
func (a *asker) withCode(call func(code, recovery string) error) error {
	err := call("", "")
	var refused *apiError
	if !errors.As(err, &refused) || refused.problem.Code != "totp_required" {
		return err
	}
	code, err := a.secret("Code of the second factor: ")
	switch {
	case err != nil:
		return err
	case code == "":
		return refused
	case strings.Contains(code, "-"):
		return call("", code)
	}
	return call(code, "")
}

// newPassword asks for a password twice, or reads it once when nobody types.
func (a *asker) newPassword(prompt string) (string, error) {
	password, err := a.secret(prompt)
	if err != nil {
		return "", err
	}
	if _, ok := a.terminal(); !ok {
		return password, nil
	}
	again, err := a.secret("Again: ")
	if err == nil && again != password {
		err = usageError{fmt.Errorf("the two passwords differ")}
	}
	return password, err
}
