package mongosink

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/hawser-iot/hawser/cloud/rules"
)

// write is what becomes of one record.
type write struct {
	database, collection string
	doc                  bson.Raw
	own                  bool   // _id is the record's key
	match                bson.D // not nil: replace what matches, or insert
}

// errTaken is about a document that is refused because another has what must be unique.
var errTaken = errors.New("another document has the same _id or the same value in a unique index")

// do writes, collection by collection, in order.
func (c *Connection) do(ctx context.Context, writes []write, shared bool) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	for len(writes) > 0 {
		database, collection := writes[0].database, writes[0].collection
		var these, others []write
		for _, w := range writes {
			if w.database == database && w.collection == collection {
				these = append(these, w)
			} else {
				others = append(others, w)
			}
		}
		coll := cl.Database(database).Collection(collection)
		if these[0].match != nil {
			err = replace(ctx, coll, these)
		} else {
			err = insert(ctx, coll, these)
		}
		if err != nil {
			return c.trouble.judge(fmt.Errorf("%s.%s: %w", database, collection, err), shared)
		}
		writes = others
	}
	return nil
}

// replace sends replacements that insert what they do not find.
func replace(ctx context.Context, coll *mongo.Collection, writes []write) error {
	models := make([]mongo.WriteModel, len(writes))
	for i, w := range writes {
		models[i] = mongo.NewReplaceOneModel().SetFilter(w.match).SetReplacement(w.doc).SetUpsert(true)
	}
	_, err := coll.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(true))
	return err
}

// insert inserts in order. The server stops at a document whose _id is there: that one, and those behind it that are there too,
// were delivered before and are skipped.
func insert(ctx context.Context, coll *mongo.Collection, writes []write) error {
	for len(writes) > 0 {
		docs := make([]bson.Raw, len(writes))
		for i := range writes {
			docs[i] = writes[i].doc
		}
		_, err := coll.InsertMany(ctx, docs, options.InsertMany().SetOrdered(true))
		bulk, ok := errors.AsType[mongo.BulkWriteException](err)
		if !ok || bulk.WriteConcernError != nil || len(bulk.WriteErrors) == 0 || bulk.WriteErrors[0].Code != duplicateKey {
			return err
		}
		rest := writes[bulk.WriteErrors[0].Index:]
		missing, err := absentOf(ctx, coll, rest)
		if err != nil {
			return err
		}
		if len(missing) == len(rest) { // the _id is not what is there already
			return fmt.Errorf("%w: %w", rules.ErrPermanent, errTaken)
		}
		if len(missing) > 0 && bytes.Equal(missing[0].doc, rest[0].doc) {
			return fmt.Errorf("%w: %w", rules.ErrPermanent, errTaken)
		}
		writes = missing
	}
	return nil
}

// absentOf returns those of writes that are not there. What is there under an _id of the user's making and is another document
// is an error.
func absentOf(ctx context.Context, coll *mongo.Collection, writes []write) ([]write, error) {
	ids := make(bson.A, len(writes))
	keys := true
	for i, w := range writes {
		ids[i] = w.doc.Lookup("_id")
		keys = keys && w.own
	}
	find := options.Find()
	if keys {
		find.SetProjection(bson.D{{Key: "_id", Value: 1}})
	}
	cur, err := coll.Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}}, find)
	if err != nil {
		return nil, err
	}
	defer func() { _ = cur.Close(ctx) }() // it has been read or has failed
	there := map[string]bson.Raw{}
	for cur.Next(ctx) {
		there[idKey(cur.Current)] = bytes.Clone(cur.Current)
	}
	if err := cur.Err(); err != nil {
		return nil, err
	}
	var missing []write
	for _, w := range writes {
		switch d, ok := there[idKey(w.doc)]; {
		case !ok:
			missing = append(missing, w)
		case !w.own && !bytes.Equal(d, w.doc):
			return nil, fmt.Errorf("%w: %w", rules.ErrPermanent, errTaken)
		}
	}
	return missing, nil
}

func idKey(d bson.Raw) string {
	v := d.Lookup("_id")
	return string([]byte{byte(v.Type)}) + string(v.Value)
}
