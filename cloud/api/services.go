package api

import (
	"context"

	"github.com/hawser-iot/hawser/cloud/apitype"
)

// Services are what the API is a face of. All must be given.
type Services struct {
	Products Products
	Devices  Devices
	Keys     Keys
	Shadows  Shadows
	Things   Things
	Sender   Sender
	Rules    Rules
	Feed     Feed
	Jobs     Jobs
	// Info says what this hub is.
	Info func(context.Context) apitype.Info
}
