package thingmodel

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/thingmodel/series"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/thing"
)

// ErrNoHistory is returned where no history of properties is kept.
var ErrNoHistory = errors.New("thingmodel: no history of properties is kept")

// maxPoints bounds a page, and maxIdentifiers how many properties one question is about.
const (
	maxPoints      = 5000
	maxIdentifiers = 20
)

// HistoryQuery says which values of a device's properties are wanted.
type HistoryQuery struct {
	Identifiers []string
	From, To    time.Time // by the device's clock; zero is no bound
	Ascending   bool
	Limit       int // 1 to 5000
	Cursor      string
	Step        time.Duration // 0: the values as they came
	Fn          series.Fn     // with Step
}

// History returns values of properties by time, as far back as the product keeps them.
func (t *Things) History(ctx context.Context, dev ident.Device, q HistoryQuery) (series.Page, error) {
	product, model, err := t.model(ctx, dev.Product)
	if err != nil {
		return series.Page{}, err
	}
	d, err := t.Registry.Device(ctx, dev)
	if err != nil {
		return series.Page{}, err
	}
	days, count := product.Settings.HistoryDays, product.Settings.HistoryCount
	if t.Series == nil || days != nil && *days == 0 {
		return series.Page{}, ErrNoHistory
	}
	if err := q.check(model); err != nil {
		return series.Page{}, err
	}
	ask := series.Query{Device: d.ID, Identifiers: q.Identifiers, From: q.From, To: q.To, Ascending: q.Ascending, Limit: q.Limit, Cursor: q.Cursor,
		Step: q.Step, Fn: q.Fn}
	if days != nil {
		if first := t.now().AddDate(0, 0, -int(*days)); ask.From.Before(first) {
			ask.From = first
		}
	}
	if count != nil {
		ask.Most = int(*count)
	}
	page, err := t.Series.Points(ctx, ask)
	switch {
	case errors.Is(err, series.ErrCursor):
		return series.Page{}, &ErrInvalid{"cursor", strings.TrimPrefix(err.Error(), "series: ")}
	case errors.Is(err, series.ErrTooMuch):
		return series.Page{}, &ErrInvalid{"from", strings.TrimPrefix(err.Error(), "series: ")}
	}
	return page, err
}

func (q *HistoryQuery) check(model *thing.Model) error {
	if len(q.Identifiers) == 0 || len(q.Identifiers) > maxIdentifiers {
		return &ErrInvalid{"identifier", "must be 1 to " + strconv.Itoa(maxIdentifiers) + " properties"}
	}
	for _, id := range q.Identifiers {
		switch {
		case !thing.ValidIdentifier(id):
			return &ErrInvalid{"identifier", strconv.Quote(id) + " is no identifier"}
		case q.Step > 0 && q.Fn.OfNumbers() && model.HasProperty(id) && !model.IsNumber(id):
			return &ErrInvalid{"fn", id + " is no number: use last or count"}
		}
	}
	switch {
	case q.Limit < 1 || q.Limit > maxPoints:
		return &ErrInvalid{"limit", "must be 1 to " + strconv.Itoa(maxPoints)}
	case !q.From.IsZero() && !q.To.IsZero() && !q.From.Before(q.To):
		return &ErrInvalid{"from", "must be before to"}
	case q.Step == 0 && q.Fn != "":
		return &ErrInvalid{"fn", "goes with step"}
	case q.Step != 0 && (q.Step < time.Second || q.Step > 366*24*time.Hour || q.Step%time.Millisecond != 0):
		return &ErrInvalid{"step", "must be 1s to 8784h"}
	case q.Step != 0 && !slices.Contains(series.Fns, q.Fn):
		return &ErrInvalid{"fn", "must be avg, min, max, last, sum or count"}
	}
	return nil
}
