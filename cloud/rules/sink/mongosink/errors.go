package mongosink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/hawser-iot/hawser/cloud/rules"
)

// duplicateKey is the code of a document that some unique index has already.
const duplicateKey = 11000

// refused are codes of MongoDB that a document will always get.
var refused = []int{
	2,     // BadValue
	9,     // FailedToParse
	14,    // TypeMismatch
	22,    // InvalidBSON
	52,    // DollarPrefixedFieldName
	53,    // InvalidIdField
	55,    // InvalidDBRef
	56,    // EmptyFieldName
	57,    // DottedFieldName
	66,    // ImmutableField
	73,    // InvalidNamespace
	121,   // DocumentValidationFailure
	166,   // CommandNotSupportedOnView
	10334, // BSONObjectTooLarge
	17280, // KeyTooLong
	17419, // the updated document is too large
	17420, // the upserted document is too large
	duplicateKey,
}

// absent are codes that say that the server, or this member of it, does not serve now, or not this user.
var absent = []int{
	6, 7, 89, 9001, // HostUnreachable, HostNotFound, NetworkTimeout, SocketException
	11, 18, // UserNotFound, AuthenticationFailed
	24, 46, // LockTimeout, LockBusy
	50, 202, 262, // time limits
	64, 79, 100, // the write concern is not, or cannot be, satisfied
	91, 189, 10058, 10107, 11600, 11602, 13435, 13436, // it shuts down, steps down, is no primary
	133, 134, // FailedToSatisfyReadPreference, ReadConcernMajorityNotAvailableYet
	14031, // OutOfDiskSpace
	391,   // ReauthenticationRequired
	462,   // IngressRequestRateLimitExceeded
}

// forbidden are codes that are about the collection: everybody's trouble when all documents go there.
var forbidden = []int{13, 26} // Unauthorized, NamespaceNotFound

// trouble classifies errors, and knows whether the last connection was refused by the hub itself, which the driver does not tell.
type trouble struct{ last atomic.Pointer[error] }

func (t *trouble) dialled(ctx context.Context, err error) {
	switch {
	case err == nil:
		t.last.Store(nil)
	case ctx.Err() == nil:
		t.last.Store(&err)
	}
}

// judge says what a failure means for the documents, in the words of rules.Sink. shared: all go to one collection.
func (t *trouble) judge(err error, shared bool) error {
	if errors.Is(err, rules.ErrPermanent) || errors.Is(err, rules.ErrUnavailable) {
		return err
	}
	if last := t.last.Load(); last != nil && errors.Is(*last, rules.ErrPermanent) {
		return *last // the way out refused the address
	}
	codes := mongo.ErrorCodes(err)
	has := func(list []int) bool {
		return slices.ContainsFunc(codes, func(c int) bool { return slices.Contains(list, c) })
	}
	switch {
	case mongo.IsNetworkError(err), mongo.IsTimeout(err), has(absent), has(forbidden) && shared, writeConcernFailed(err):
		return fmt.Errorf("%w: %w", rules.ErrUnavailable, err)
	case has(refused):
		return fmt.Errorf("%w: %w", rules.ErrPermanent, err)
	case len(codes) > 0:
		return err // the server has spoken, and nobody knows of what
	}
	return fmt.Errorf("%w: %w", rules.ErrUnavailable, err)
}

// writeConcernFailed tells whether what was written has not reached as many members as it should.
func writeConcernFailed(err error) bool {
	e, ok := errors.AsType[mongo.BulkWriteException](err)
	return ok && e.WriteConcernError != nil
}
