package main

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"github.com/hawser-iot/hawser/firmware/delta"
	"github.com/hawser-iot/hawser/firmware/image"
)

// indexView is what a chunk index says.
type indexView struct {
	Kind      string `json:"kind"`
	Digest    string `json:"digest"`
	Image     string `json:"image,omitempty"`
	ImageSize int64  `json:"imageSize"`
	Chunks    int    `json:"chunks"`
	Bytes     int64  `json:"bytes"`
}

// packView is what is known of a full pack.
type packView struct {
	Kind      string `json:"kind"`
	Image     string `json:"image,omitempty"`
	Index     string `json:"index,omitempty"`
	ImageSize int64  `json:"imageSize,omitempty"`
	Chunks    int    `json:"chunks,omitempty"`
	Unique    int    `json:"unique,omitempty"`
	Bytes     int64  `json:"bytes"`
}

// deltaView is what a delta pack says; what it is made of is known only with the index.
type deltaView struct {
	Kind      string     `json:"kind"`
	Base      string     `json:"base"`
	BaseSize  int64      `json:"baseSize"`
	Index     string     `json:"index"`
	ImageSize int64      `json:"imageSize,omitempty"`
	Bytes     int64      `json:"bytes"`
	Made      []madeView `json:"made,omitempty"`
}

// madeView counts the chunks of one kind.
type madeView struct {
	Kind   string `json:"kind"`
	Chunks int    `json:"chunks"`
	Bytes  int64  `json:"bytes"`
	Packed int64  `json:"packed"`
}

func madeOf(s *delta.Stats) []madeView {
	var out []madeView
	for kind, k := range s.Kinds {
		out = append(out, madeView{delta.Kind(kind).String(), k.Chunks, k.Bytes, k.Packed})
	}
	return out
}

func (v *indexView) rows() [][]string {
	rows := [][]string{{"chunk index", v.Digest}, {"chunks", fmt.Sprint(v.Chunks)}, {"image size", fmt.Sprint(v.ImageSize)}, {"bytes", fmt.Sprint(v.Bytes)}}
	if v.Image != "" {
		rows = append(rows, []string{"image", v.Image})
	}
	return rows
}

func (v *packView) rows() [][]string {
	rows := [][]string{{"full pack", v.Index}, {"bytes", fmt.Sprint(v.Bytes)}}
	if v.Chunks > 0 {
		rows = append(rows, []string{"chunks", fmt.Sprintf("%d, %d of them different", v.Chunks, v.Unique)}, []string{"image size", fmt.Sprint(v.ImageSize)})
	}
	if v.Image != "" {
		rows = append(rows, []string{"image", v.Image})
	}
	return rows
}

func (v *deltaView) rows() [][]string {
	rows := [][]string{{"delta pack", fmt.Sprintf("%d bytes", v.Bytes)}, {"old image", fmt.Sprintf("%s (%d bytes)", v.Base, v.BaseSize)}, {"new index", v.Index}}
	for _, m := range v.Made {
		rows = append(rows, []string{"  " + m.Kind, fmt.Sprintf("%d chunks, %d bytes by %d", m.Chunks, m.Bytes, m.Packed)})
	}
	return rows
}

func viewIndex(b []byte) (*indexView, error) {
	x, err := image.ParseIndex(b)
	if err != nil {
		return nil, err
	}
	digest, err := x.Digest()
	if err != nil {
		return nil, err
	}
	return &indexView{Kind: "chunk index", Digest: digest.String(), ImageSize: x.Size, Chunks: len(x.Chunks), Bytes: int64(len(b))}, nil
}

func viewDelta(b []byte) (*deltaView, error) {
	h, err := delta.ReadHeader(context.Background(), image.FileSource(bytes.NewReader(b), int64(len(b))))
	if err != nil {
		return nil, err
	}
	return &deltaView{Kind: "delta pack", Base: h.Base.String(), BaseSize: h.BaseSize, Index: h.Index.String(), Bytes: int64(len(b))}, nil
}

// viewPack looks into a pack by the index in a file.
func viewPack(ctx context.Context, b []byte, indexFile string) (view, error) {
	text, err := os.ReadFile(indexFile)
	if err != nil {
		return nil, usageError{err}
	}
	x, err := image.ParseIndex(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", indexFile, err)
	}
	src := image.FileSource(bytes.NewReader(b), int64(len(b)))
	if bytes.HasPrefix(b, []byte(image.PackMagic[:7])) {
		return viewFull(ctx, src, x)
	}
	p, err := delta.Open(ctx, src, x)
	if err != nil {
		return nil, err
	}
	stats := p.Stats()
	return &deltaView{Kind: "delta pack", Base: p.Base.String(), BaseSize: p.BaseSize, Index: p.Index.String(), ImageSize: x.Size, Bytes: stats.Total, Made: madeOf(&stats)}, nil
}

// viewFull reads all chunks of a full pack.
func viewFull(ctx context.Context, src image.Source, x *image.Index) (view, error) {
	p, err := image.OpenPack(ctx, src, x)
	if err != nil {
		return nil, err
	}
	all := make([]int, len(x.Chunks))
	unique := map[image.Digest]bool{}
	for no, c := range x.Chunks {
		all[no] = no
		unique[c.Sum] = true
	}
	if err := p.Chunks(ctx, all, func(int, []byte) error { return nil }); err != nil {
		return nil, err
	}
	digest, err := x.Digest()
	return &packView{Kind: "full pack", Index: digest.String(), ImageSize: x.Size, Chunks: len(all), Unique: len(unique), Bytes: src.Size()}, err
}
