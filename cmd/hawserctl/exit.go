package main

import (
	"context"
	"errors"
)

// usageError is a mistake in arguments or flags.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// errRows says that a job did not go well for every row. It has been printed.
var errRows = errors.New("not everything went well")

// errTarget says that a connector's target could not be reached, or did not want the hub. The answer has been printed.
var errTarget = errors.New("the target does not answer as it should")

// errDevice says that a device answered a command or a property set with an error of its own. The answer has been
// printed.
var errDevice = errors.New("the device answered with an error")

// exitHelp is hawserctl help exit-codes; exitCode is its implementation.
const exitHelp = `Exit codes:
  0    done; with --dry-run, checked or printed
  1    the hub refused the request, or something else failed
  2    wrong arguments or flags
  3    the product, device, rule, key, user, project or job does not exist
  4    the API key, session or password is wrong, or may not do this
  5    the hub cannot be reached
  6    conflict: it exists already, or somebody else has changed it
  7    the device is offline, did not answer in time, or answered with an error
  8    a job failed, was cancelled, or some of its rows failed
  9    the target of a connector does not answer, or refuses the hub
  130  interrupted`

// exitCode is the one place where exit codes are decided.
func exitCode(ctx context.Context, err error) int {
	var usage usageError
	var unreachable *unreachableError
	var api *apiError
	switch {
	case err == nil, errors.Is(err, errDryRun):
		return 0
	case ctx.Err() != nil:
		return 130
	case errors.As(err, &usage):
		return 2
	case errors.As(err, &unreachable):
		return 5
	case errors.Is(err, errDevice):
		return 7
	case errors.Is(err, errRows):
		return 8
	case errors.Is(err, errTarget):
		return 9
	case !errors.As(err, &api):
		return 1
	}
	switch api.problem.Code {
	case "device_offline", "device_timeout", "bad_device_reply", "not_subscribed":
		return 7
	}
	switch api.problem.Status {
	case 404:
		return 3
	case 401, 403:
		return 4
	case 409, 412:
		return 6
	}
	return 1
}
