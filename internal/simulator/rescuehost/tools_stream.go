package rescuehost

import (
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

func streamTools() map[string]tool {
	return map[string]tool{
		"dd": toolDd, "zstd": toolPack, "zstdcat": toolPack, "unzstd": toolPack, "xz": toolPack, "xzcat": toolPack, "unxz": toolPack, "gzip": toolPack,
		"zcat": toolPack, "gunzip": toolPack, "bzip2": toolPack, "bzcat": toolPack, "bunzip2": toolPack,
		"md5sum": toolSum, "sha1sum": toolSum, "sha256sum": toolSum, "sha512sum": toolSum, "cksum": toolCksum,
		"cmp": toolCmp, "diff": toolDiff, "base64": toolBase64, "od": toolDump, "hexdump": toolDump, "xxd": toolDump,
	}
}

// packers are the compressions by their tool.
type packer struct {
	suffix string
	open   func(io.Reader) (io.Reader, error)
	make   func(io.Writer) (io.WriteCloser, error)
}

func packerOf(name string) packer {
	switch {
	case strings.Contains(name, "zst"):
		return packer{".zst", func(r io.Reader) (io.Reader, error) {
			return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
		}, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1)) }}
	case strings.Contains(name, "xz"):
		return packer{
			".xz", func(r io.Reader) (io.Reader, error) { return xz.NewReader(r) },
			func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) },
		}
	case strings.HasPrefix(name, "b"):
		return packer{".bz2", func(r io.Reader) (io.Reader, error) { return bzip2.NewReader(r), nil }, nil}
	}
	return packer{
		".gz", func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
	}
}

// toolPack is zstd, xz, gzip and bzip2 with their cat and un- forms.
func toolPack(c *call) int {
	name := path.Base(c.name)
	p := packerOf(name)
	opts, rest, err := getopt(c.args, "dcqkfvtzVT:123456789o:C", "decompress", "uncompress", "stdout", "to-stdout", "quiet", "keep", "force", "test", "threads=", "long", "long=",
		"rm", "no-progress", "sparse", "no-sparse", "check", "no-check", "asyncio", "no-asyncio", "version", "memory=", "memlimit=", "fast", "fast=")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	unpack := strings.HasSuffix(name, "cat") || strings.HasPrefix(name, "un") || strings.HasPrefix(name, "gun") || strings.HasPrefix(name, "bun")
	stdout, test, keep, target, sparse := strings.HasSuffix(name, "cat"), false, strings.Contains(name, "zst"), "", false
	for _, o := range opts {
		switch o.name {
		case "d", "decompress", "uncompress":
			unpack = true
		case "c", "stdout", "to-stdout":
			stdout = true
		case "t", "test":
			test, unpack = true, true
		case "k", "keep":
			keep = true
		case "sparse":
			sparse = true
		case "V", "version":
			fmt.Fprintln(c.out, "*** Zstandard CLI (64-bit) v1.5.4, by Yann Collet ***")
			return 0
		case "o":
			target = o.value
		}
	}
	if !unpack && p.make == nil {
		return c.fail(1, "only decompression is supported")
	}
	if len(rest) == 0 {
		rest, stdout = []string{"-"}, target == ""
	}
	for _, file := range rest {
		if status := c.pack(p, file, unpack, stdout || file == "-" && target == "", test, keep, target, sparse); status != 0 {
			return status
		}
	}
	return 0
}

func (c *call) pack(p packer, name string, unpack, stdout, test, keep bool, target string, sparse bool) int {
	in, err := c.open(name)
	if err != nil {
		return c.fail(1, "%s", why(name, err))
	}
	defer in.Close()
	shown := name
	if name == "-" {
		shown = "/*stdin*\\"
	}
	var out io.Writer = c.out
	switch {
	case test:
		out = io.Discard
	case !stdout:
		if target == "" {
			target = name + p.suffix
			if unpack {
				if target = strings.TrimSuffix(name, p.suffix); target == name {
					return c.fail(1, "%s: unknown suffix", name)
				}
			}
		}
		f, err := c.create(target, os.O_CREATE|os.O_TRUNC)
		if err != nil {
			return c.fail(1, "%s", why(target, err))
		}
		defer f.Close()
		out = unpackTo(f, sparse && unpack)
	}
	if status := c.packStream(p, shown, c.bounded(in), out, unpack); status != 0 {
		return status
	}
	if !stdout && !keep && !test && name != "-" {
		_ = c.h.tree.remove(c.abs(name), false)
	}
	return 0
}

func (c *call) packStream(p packer, shown string, in io.Reader, out io.Writer, unpack bool) int {
	if !unpack {
		w, err := p.make(out)
		if err == nil {
			if _, err = io.Copy(w, in); err == nil {
				err = w.Close()
			}
		}
		if err != nil {
			return c.fail(1, "%s: %v", shown, err)
		}
		return 0
	}
	r, err := p.open(in)
	if err == nil {
		if z, ok := r.(*zstd.Decoder); ok {
			defer z.Close()
		}
		counted := &counting{Writer: out}
		if _, err = io.CopyBuffer(struct{ io.Writer }{counted}, struct{ io.Reader }{r}, make([]byte, 256<<10)); counted.err != nil {
			if isPipe(counted.err) {
				return 141 // nobody reads it any more
			}
			return c.fail(70, "error 70 : Write error : cannot write block : %s", errText(errOf(counted.err)))
		}
	}
	switch {
	case err == nil:
		return 0
	case c.ctx().Err() != nil:
		return 143
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return c.fail(1, "%s: Read error (39) : premature end", shown)
	}
	return c.fail(1, "%s: unsupported format or corrupted data: %v", shown, err)
}

// counting remembers that writing failed, which is another matter than bad input.
type counting struct {
	io.Writer
	err error
}

func (w *counting) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err != nil {
		w.err = err
	}
	return n, err
}

func toolSum(c *call) int {
	makers := map[string]func() hash.Hash{"md5sum": md5.New, "sha1sum": sha1.New, "sha256sum": sha256.New, "sha512sum": sha512.New}
	opts, rest, err := getopt(c.args, "bctqw", "check", "status", "quiet", "binary", "strict", "ignore-missing")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	check, silent, quiet := false, false, false
	for _, o := range opts {
		check = check || o.name == "c" || o.name == "check"
		silent = silent || o.name == "status"
		quiet = quiet || o.name == "quiet"
	}
	if len(rest) == 0 {
		rest = []string{"-"}
	}
	status := 0
	for _, name := range rest {
		r, err := c.open(name)
		if err != nil {
			status = c.fail(1, "%s", why(name, err))
			continue
		}
		if check {
			status = max(status, c.checkSums(r, makers[path.Base(c.name)], silent, quiet))
			continue
		}
		sum, err := c.sum(r, makers[path.Base(c.name)]())
		if err != nil {
			status = c.fail(1, "%s", why(name, err))
			continue
		}
		c.printf("%s  %s\n", sum, name)
	}
	return status
}

func (c *call) sum(r io.ReadCloser, h hash.Hash) (string, error) {
	defer r.Close()
	_, err := io.CopyBuffer(h, struct{ io.Reader }{c.bounded(r)}, make([]byte, 256<<10))
	return hex.EncodeToString(h.Sum(nil)), err
}

func (c *call) checkSums(list io.Reader, maker func() hash.Hash, silent, quiet bool) int {
	bad, seen := 0, 0
	_ = lines(list, func(l string) bool {
		want, name, ok := strings.Cut(l, " ")
		if !ok {
			return true
		}
		seen++
		name = strings.TrimLeft(name, " *")
		got := ""
		if r, err := c.open(name); err == nil {
			got, _ = c.sum(r, maker())
		}
		verdict := "OK"
		if !strings.EqualFold(got, want) {
			bad++
			verdict = "FAILED"
		}
		if !silent && !(quiet && verdict == "OK") {
			c.printf("%s: %s\n", name, verdict)
		}
		return true
	})
	switch {
	case seen == 0:
		return c.fail(1, "no properly formatted checksum lines found")
	case bad > 0 && !silent:
		return c.fail(1, "WARNING: %d computed checksum did NOT match", bad)
	}
	return bit(bad > 0)
}

// toolCmp compares two files byte by byte.
func toolCmp(c *call) int {
	opts, rest, err := getopt(c.args, "sln:bi:", "silent", "quiet", "verbose", "bytes=", "ignore-initial=")
	if err != nil || len(rest) == 0 {
		return c.fail(2, "missing operand")
	}
	limit, silent, skip := int64(-1), false, int64(0)
	for _, o := range opts {
		switch o.name {
		case "n", "bytes":
			if limit, err = number(o.value); err != nil {
				return c.fail(2, "invalid --bytes value '%s'", o.value)
			}
		case "i", "ignore-initial":
			skip, _ = number(o.value)
		case "s", "silent", "quiet":
			silent = true
		}
	}
	if len(rest) == 1 {
		rest = append(rest, "-")
	}
	var in [2]io.Reader
	for i := range in {
		r, err := c.open(rest[i])
		if err != nil {
			return c.fail(2, "%s", why(rest[i], err))
		}
		defer r.Close()
		_, _ = io.CopyN(io.Discard, r, skip)
		in[i] = c.bounded(r)
		if limit >= 0 {
			in[i] = io.LimitReader(in[i], limit)
		}
	}
	return c.compare(in, rest, silent)
}

func (c *call) compare(in [2]io.Reader, names []string, silent bool) int {
	a, b := make([]byte, 256<<10), make([]byte, 256<<10)
	at, line := int64(0), int64(1)
	for {
		n, errA := io.ReadFull(in[0], a)
		m, errB := io.ReadFull(in[1], b)
		for _, err := range []error{errA, errB} {
			if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
				return c.fail(2, "%s", errText(errOf(err)))
			}
		}
		k := min(n, m)
		if !bytes.Equal(a[:k], b[:k]) {
			i := 0
			for a[i] == b[i] {
				i++
			}
			if !silent {
				c.printf("%s %s differ: byte %d, line %d\n", names[0], names[1], at+int64(i)+1, line+int64(bytes.Count(a[:i], []byte("\n"))))
			}
			return 1
		}
		at += int64(k)
		line += int64(bytes.Count(a[:k], []byte("\n")))
		if n != m {
			short := names[0]
			if m < n {
				short = names[1]
			}
			if !silent {
				c.fail(1, "EOF on %s after byte %d", short, at)
			}
			return 1
		}
		if n < len(a) {
			return 0
		}
	}
}

// toolDiff says whether two files differ, with the lines that one of them has alone.
func toolDiff(c *call) int {
	opts, rest, err := getopt(c.args, "qurNwbBi", "brief", "unified")
	if err != nil || len(rest) != 2 {
		return c.fail(2, "missing operand")
	}
	var text [2][]string
	for i, name := range rest {
		data, err := io.ReadAll(must(c.open(name)))
		if err != nil {
			return c.fail(2, "%s", why(name, err))
		}
		text[i] = strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	}
	if slices.Equal(text[0], text[1]) {
		return 0
	}
	if slices.ContainsFunc(opts, func(o option) bool { return o.name == "q" || o.name == "brief" }) {
		c.printf("Files %s and %s differ\n", rest[0], rest[1])
		return 1
	}
	for i, sign := range []string{"<", ">"} {
		for _, l := range text[i] {
			if !slices.Contains(text[1-i], l) {
				c.printf("%s %s\n", sign, l)
			}
		}
	}
	return 1
}

func toolBase64(c *call) int {
	opts, rest, err := getopt(c.args, "dw:i", "decode", "wrap=", "ignore-garbage")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	decode, wrap := false, 76
	for _, o := range opts {
		switch o.name {
		case "d", "decode":
			decode = true
		case "w", "wrap":
			_, _ = fmt.Sscan(o.value, &wrap)
		}
	}
	in, status := c.inputs(rest)
	if decode {
		clean := readFunc(func(p []byte) (int, error) {
			n, err := in.Read(p)
			kept := slices.DeleteFunc(p[:n], func(b byte) bool { return b == '\n' || b == '\r' || b == ' ' })
			return len(kept), err
		})
		if _, err := io.Copy(c.out, base64.NewDecoder(base64.StdEncoding, clean)); err != nil {
			return c.fail(1, "invalid input")
		}
		return status
	}
	data, _ := io.ReadAll(in)
	s := base64.StdEncoding.EncodeToString(data)
	for wrap > 0 && len(s) > wrap {
		c.printf("%s\n", s[:wrap])
		s = s[wrap:]
	}
	c.printf("%s", s)
	if wrap > 0 {
		c.printf("\n")
	}
	return status
}

// toolDump is the common use of od (-An -tx1), hexdump (-C) and xxd (-p).
func toolDump(c *call) int {
	opts, rest, err := getopt(c.args, "A:t:N:j:vCpn:s:c:l:xe:w:", "skip-bytes=", "read-bytes=")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	limit, skip, plain, addresses, width, cell := int64(-1), int64(0), false, true, 16, " %02x"
	for _, o := range opts {
		switch o.name {
		case "N", "n", "l", "read-bytes":
			limit, _ = number(o.value)
		case "j", "s", "skip-bytes":
			skip, _ = number(o.value)
		case "p":
			plain = true
		case "A":
			addresses = o.value != "n"
		case "w":
			if width, err = strconv.Atoi(o.value); err != nil || width < 1 {
				return c.fail(1, "invalid -w argument '%s'", o.value)
			}
		case "t":
			if o.value == "u1" {
				cell = " %3d"
			}
		}
	}
	in, status := c.inputs(rest)
	_, _ = io.CopyN(io.Discard, in, skip)
	if limit >= 0 {
		in = io.LimitReader(in, limit)
	}
	data, _ := io.ReadAll(c.bounded(in))
	if plain {
		for row := range slices.Chunk(data, 30) {
			c.printf("%x\n", row)
		}
		return status
	}
	for at := 0; at < len(data); at += width {
		row := data[at:min(at+width, len(data))]
		head := ""
		switch {
		case path.Base(c.name) == "od" && addresses:
			head = fmt.Sprintf("%07o", int64(at)+skip)
		case path.Base(c.name) != "od":
			head = fmt.Sprintf("%08x", int64(at)+skip)
		}
		var b strings.Builder
		for _, x := range row {
			fmt.Fprintf(&b, cell, x)
		}
		if path.Base(c.name) != "od" {
			fmt.Fprintf(&b, "%s  |%s|", strings.Repeat("   ", 16-len(row)), strings.Map(func(r rune) rune {
				if r < 32 || r > 126 {
					return '.'
				}
				return r
			}, string(bytes.Map(func(r rune) rune { return r }, row))))
		}
		c.printf("%s%s\n", head, b.String())
	}
	return status
}
