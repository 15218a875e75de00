package message

import "context"

type contextKey struct{}

// WithID returns a context that says for which message things are done: what goes out under it is logged under that id.
func WithID(ctx context.Context, id ID) context.Context {
	return context.WithValue(ctx, contextKey{}, id)
}

// IDOf is the id that WithID gave to ctx; 0 when there is none.
func IDOf(ctx context.Context) ID {
	id, _ := ctx.Value(contextKey{}).(ID)
	return id
}
