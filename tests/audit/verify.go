// Verifies an audit log with golang.org/x/mod (Debian: golang-golang-x-mod-dev), which others wrote.
//
//	verify DIRECTORY      prints `SIZE ROOT`
//
// The signed note is opened by sumdb/note. The root is computed from the entries by sumdb/tlog, the
// tiles are compared with what tlog makes of the entries, and proofs are made from the tiles
// through tlog's TileHashReader, which authenticates them against the root.
package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

var dir string

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "wrong:", err)
		os.Exit(1)
	}
}

// tlog-tiles leaves out the height, and calls the entries "entries".
func pathOf(tile tlog.Tile) string {
	path := strings.TrimPrefix(tile.Path(), "tile/8/")
	return filepath.Join(dir, "tile", strings.Replace(path, "data/", "entries/", 1))
}

type tiles struct{}

func (tiles) Height() int                        { return height }
func (tiles) SaveTiles([]tlog.Tile, [][]byte)    {}
func (tiles) ReadTiles(wanted []tlog.Tile) (data [][]byte, err error) {
	for _, tile := range wanted {
		one, err := os.ReadFile(pathOf(tile))
		if err != nil {
			return nil, err
		}
		data = append(data, one)
	}
	return data, nil
}

func readEntries(size int64) (entries [][]byte) {
	for n := int64(0); n*256 < size; n++ {
		width := size - n*256
		if width > 256 {
			width = 256
		}
		data, err := os.ReadFile(pathOf(tlog.Tile{H: height, L: -1, N: n, W: int(width)}))
		check(err)
		for len(data) > 0 {
			length := int(data[0])<<8 | int(data[1])
			entries = append(entries, data[2:2+length])
			data = data[2+length:]
		}
	}
	return entries
}

// computed holds all stored hashes in memory, from the entries alone.
type computed []tlog.Hash

func (c computed) ReadHashes(indexes []int64) (hashes []tlog.Hash, err error) {
	for _, i := range indexes {
		hashes = append(hashes, c[i])
	}
	return hashes, nil
}

// compareTiles checks every file that a tree of this size has.
func compareTiles(size int64, hashes computed) {
	for level := 0; size>>(height*level) > 0; level++ {
		count := size >> (height * level)
		for n := int64(0); n*256 < count; n++ {
			width := count - n*256
			if width > 256 {
				width = 256
			}
			tile := tlog.Tile{H: height, L: level, N: n, W: int(width)}
			right, err := tlog.ReadTileData(tile, hashes)
			check(err)
			found, err := os.ReadFile(pathOf(tile))
			check(err)
			if !bytes.Equal(right, found) {
				check(fmt.Errorf("%s is not what the entries make it", tile.Path()))
			}
		}
	}
}

func checkProofs(tree tlog.Tree, entries [][]byte) {
	reader := tlog.TileHashReader(tree, tiles{})
	for _, index := range []int64{0, tree.N / 3, tree.N / 2, tree.N - 1} {
		if index < 0 {
			continue
		}
		proof, err := tlog.ProveRecord(tree.N, index, reader)
		check(err)
		check(tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entries[index])))
	}
}

func main() {
	dir = os.Args[1]
	vkey, err := os.ReadFile(filepath.Join(dir, "vkey"))
	check(err)
	verifier, err := note.NewVerifier(strings.TrimSpace(string(vkey)))
	check(err)
	text, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	check(err)
	opened, err := note.Open(text, note.VerifierList(verifier))
	check(err)
	lines := strings.Split(opened.Text, "\n")
	var size int64
	_, err = fmt.Sscanf(lines[1], "%d", &size)
	check(err)
	root, err := tlog.ParseHash(lines[2])
	check(err)
	if lines[0] != verifier.Name() {
		check(fmt.Errorf("the origin is not the name of the key"))
	}
	entries := readEntries(size)
	var hashes computed
	for i, entry := range entries {
		more, err := tlog.StoredHashes(int64(i), entry, hashes)
		check(err)
		hashes = append(hashes, more...)
	}
	if size > 0 {
		found, err := tlog.TreeHash(size, hashes)
		check(err)
		if found != root {
			check(fmt.Errorf("the root is not that of the entries"))
		}
		compareTiles(size, hashes)
		checkProofs(tlog.Tree{N: size, Hash: root}, entries)
	}
	fmt.Println(size, base64.StdEncoding.EncodeToString(root[:]))
}
