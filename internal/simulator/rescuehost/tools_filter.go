package rescuehost

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// ranges reads a list such as 1,3-5,7-.
func ranges(s string) (func(i int) bool, error) {
	type span struct{ a, b int }
	var all []span
	for part := range strings.SplitSeq(s, ",") {
		from, to, dash := strings.Cut(part, "-")
		r := span{1, 1 << 30}
		var err error
		if from != "" {
			if r.a, err = strconv.Atoi(from); err != nil {
				return nil, err
			}
		}
		if !dash {
			r.b = r.a
		} else if to != "" {
			if r.b, err = strconv.Atoi(to); err != nil {
				return nil, err
			}
		}
		all = append(all, r)
	}
	return func(i int) bool {
		return slices.ContainsFunc(all, func(r span) bool { return i >= r.a && i <= r.b })
	}, nil
}

func toolCut(c *call) int {
	opts, rest, err := getopt(c.args, "d:f:c:b:s", "delimiter=", "fields=", "characters=", "only-delimited", "output-delimiter=")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	delimiter, out, list, fields, only := "\t", "", "", false, false
	for _, o := range opts {
		switch o.name {
		case "d", "delimiter":
			delimiter = o.value
		case "f", "fields":
			list, fields = o.value, true
		case "c", "b", "characters":
			list = o.value
		case "s", "only-delimited":
			only = true
		case "output-delimiter":
			out = o.value
		}
	}
	wanted, err := ranges(list)
	if err != nil {
		return c.fail(1, "invalid field value")
	}
	if out == "" && fields {
		out = delimiter
	}
	in, status := c.inputs(rest)
	_ = lines(in, func(l string) bool {
		parts := strings.Split(l, "")
		if fields {
			if !strings.Contains(l, delimiter) {
				if !only {
					c.printf("%s\n", l)
				}
				return true
			}
			parts = strings.Split(l, delimiter)
		}
		var kept []string
		for i, p := range parts {
			if wanted(i + 1) {
				kept = append(kept, p)
			}
		}
		_, err := fmt.Fprintln(c.out, strings.Join(kept, out))
		return err == nil
	})
	return status
}

// set expands a set of tr: ranges, classes, escapes.
func set(s string) []byte {
	for name, chars := range map[string]string{
		"[:upper:]": "A-Z", "[:lower:]": "a-z", "[:digit:]": "0-9", "[:alpha:]": "A-Za-z", "[:alnum:]": "A-Za-z0-9",
		"[:space:]": "\t\n\v\f\r ", "[:blank:]": "\t ", "[:punct:]": "!-/:-@[-`{-~", "[:print:]": " -~", "[:cntrl:]": "\x00-\x1f",
	} {
		s = strings.ReplaceAll(s, name, chars)
	}
	s = strings.NewReplacer(`\n`, "\n", `\r`, "\r", `\t`, "\t", `\0`, "\x00", `\\`, `\`).Replace(s)
	var out []byte
	for i := 0; i < len(s); i++ {
		if i+2 < len(s) && s[i+1] == '-' && s[i+2] >= s[i] {
			for b := int(s[i]); b <= int(s[i+2]); b++ {
				out = append(out, byte(b))
			}
			i += 2
			continue
		}
		out = append(out, s[i])
	}
	return out
}

func toolTr(c *call) int {
	opts, rest, err := getopt(c.args, "+dscCt", "delete", "squeeze-repeats", "complement")
	if err != nil || len(rest) == 0 {
		return c.fail(1, "missing operand")
	}
	var remove, squeeze, complement bool
	for _, o := range opts {
		remove = remove || o.name == "d" || o.name == "delete"
		squeeze = squeeze || o.name == "s" || o.name == "squeeze-repeats"
		complement = complement || strings.EqualFold(o.name, "c") || o.name == "complement"
	}
	var to [256]int
	from := set(rest[0])
	if complement {
		var rest []byte
		for b := range 256 {
			if bytes.IndexByte(from, byte(b)) < 0 {
				rest = append(rest, byte(b))
			}
		}
		from = rest
	}
	for i := range to {
		to[i] = i
	}
	squeezed := from
	if !remove && len(rest) > 1 {
		target := set(rest[1])
		squeezed = target
		for i, b := range from {
			to[b] = int(target[min(i, len(target)-1)])
		}
	}
	if remove {
		for _, b := range from {
			to[b] = -1
		}
		if squeeze && len(rest) > 1 {
			squeezed = set(rest[1])
		}
	}
	last := -1
	buf, w := make([]byte, 64<<10), bufio.NewWriter(c.out)
	for {
		n, err := c.in.Read(buf)
		for _, b := range buf[:n] {
			out := to[b]
			if out < 0 || squeeze && out == last && bytes.IndexByte(squeezed, byte(out)) >= 0 {
				continue
			}
			last = out
			_ = w.WriteByte(byte(out))
		}
		if err != nil {
			return bit(w.Flush() != nil)
		}
		if w.Flush() != nil {
			return 141
		}
	}
}

func toolSort(c *call) int {
	opts, rest, err := getopt(c.args, "nruhVfbzk:t:o:s", "numeric-sort", "reverse", "unique", "version-sort", "key=", "field-separator=")
	if err != nil {
		return c.fail(2, "%v", err)
	}
	numeric, reverse, unique, key, separator := false, false, false, 0, ""
	for _, o := range opts {
		switch o.name {
		case "n", "numeric-sort", "h", "V", "version-sort":
			numeric = true
		case "r", "reverse":
			reverse = true
		case "u", "unique":
			unique = true
		case "k", "key":
			_, _ = fmt.Sscan(strings.FieldsFunc(o.value, func(r rune) bool { return r < '0' || r > '9' })[0], &key)
			numeric = numeric || strings.Contains(o.value, "n")
			reverse = reverse || strings.Contains(o.value, "r")
		case "t", "field-separator":
			separator = o.value
		}
	}
	in, status := c.inputs(rest)
	var all []string
	_ = lines(in, func(l string) bool { all = append(all, l); return true })
	field := func(l string) string {
		if key == 0 {
			return l
		}
		parts := strings.Fields(l)
		if separator != "" {
			parts = strings.Split(l, separator)
		}
		if key > len(parts) {
			return ""
		}
		return strings.Join(parts[key-1:], " ")
	}
	slices.SortStableFunc(all, func(a, b string) int {
		x, y := field(a), field(b)
		r := strings.Compare(x, y)
		if numeric {
			r = compareNumbers(x, y)
		}
		if reverse {
			r = -r
		}
		return r
	})
	if unique {
		all = slices.CompactFunc(all, func(a, b string) bool { return field(a) == field(b) })
	}
	for _, l := range all {
		c.printf("%s\n", l)
	}
	return status
}

func compareNumbers(a, b string) int {
	value := func(s string) (n float64) {
		_, _ = fmt.Sscanf(strings.TrimSpace(s), "%g", &n)
		return n
	}
	switch x, y := value(a), value(b); {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return strings.Compare(a, b)
}

func toolUniq(c *call) int {
	opts, rest, err := getopt(c.args, "cdui", "count", "repeated", "unique")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	has := func(names ...string) bool {
		return slices.ContainsFunc(opts, func(o option) bool { return slices.Contains(names, o.name) })
	}
	in, status := c.inputs(rest)
	last, n := "", 0
	flush := func() {
		switch {
		case n == 0 || has("d", "repeated") && n == 1 || has("u", "unique") && n > 1:
		case has("c", "count"):
			c.printf("%7d %s\n", n, last)
		default:
			c.printf("%s\n", last)
		}
	}
	_ = lines(in, func(l string) bool {
		if n > 0 && l == last {
			n++
			return true
		}
		flush()
		last, n = l, 1
		return true
	})
	flush()
	return status
}

func toolWc(c *call) int {
	opts, rest, err := getopt(c.args, "lwcm", "lines", "words", "bytes", "chars")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	names := rest
	if len(names) == 0 {
		names = []string{""}
	}
	status := 0
	for _, name := range names {
		in := c.in
		if name != "" {
			r, err := c.open(name)
			if err != nil {
				status = c.fail(1, "%s", why(name, err))
				continue
			}
			in = r
		}
		l, w, b := countText(c.bounded(in))
		var out []string
		for _, o := range opts {
			out = append(out, strconv.FormatInt(map[string]int64{"l": l, "lines": l, "w": w, "words": w, "c": b, "bytes": b, "m": b, "chars": b}[o.name], 10))
		}
		if len(opts) == 0 {
			out = []string{fmt.Sprintf("%7d", l), fmt.Sprintf("%7d", w), fmt.Sprintf("%7d", b)}
		}
		if name != "" {
			out = append(out, name)
		}
		c.printf("%s\n", strings.Join(out, " "))
	}
	return status
}

func countText(r io.Reader) (lines, words, all int64) {
	buf, inWord := make([]byte, 256<<10), false
	for {
		n, err := r.Read(buf)
		all += int64(n)
		for _, b := range buf[:n] {
			if b == '\n' {
				lines++
			}
			space := b == ' ' || b >= '\t' && b <= '\r'
			if inWord && space {
				words++
			}
			inWord = !space
		}
		if err != nil {
			if inWord {
				words++
			}
			return lines, words, all
		}
	}
}

func toolTee(c *call) int {
	opts, rest, err := getopt(c.args, "ai", "append")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	flag := os.O_CREATE | os.O_TRUNC
	if len(opts) > 0 && opts[0].name != "i" {
		flag = os.O_CREATE | os.O_APPEND
	}
	writers, status := []io.Writer{c.out}, 0
	for _, name := range rest {
		f, err := c.create(name, flag)
		if err != nil {
			status = c.fail(1, "%s", why(name, err))
			continue
		}
		defer f.Close()
		writers = append(writers, f)
	}
	if s := c.pump(io.MultiWriter(writers...), c.in); s != 0 {
		return s
	}
	return status
}

func toolSeq(c *call) int {
	from, step, to := 1, 1, 0
	args := slices.DeleteFunc(slices.Clone(c.args), func(a string) bool { return a == "-w" })
	var err error
	switch len(args) {
	case 1:
		to, err = strconv.Atoi(args[0])
	case 2, 3:
		from, err = strconv.Atoi(args[0])
		to, _ = strconv.Atoi(args[len(args)-1])
		if len(args) == 3 {
			step, _ = strconv.Atoi(args[1])
		}
	default:
		return c.fail(1, "missing operand")
	}
	if err != nil || step == 0 {
		return c.fail(1, "invalid argument")
	}
	for i := from; step > 0 && i <= to || step < 0 && i >= to; i += step {
		if _, err := fmt.Fprintln(c.out, i); err != nil {
			return 141
		}
	}
	return 0
}

// toolExpr knows A op B for numbers and text, and A : REGEX.
func toolExpr(c *call) int {
	if len(c.args) != 3 {
		return c.fail(2, "syntax error")
	}
	a, op, b := c.args[0], c.args[1], c.args[2]
	if op == ":" {
		re, err := compile("^"+b, false, false)
		if err != nil {
			return c.fail(2, "%v", err)
		}
		m := re.FindStringSubmatch(a)
		result := "0"
		if len(m) > 1 {
			result = m[1]
		} else if m != nil {
			result = strconv.Itoa(len(m[0]))
		}
		c.printf("%s\n", result)
		return bit(result == "" || result == "0")
	}
	x, e1 := strconv.Atoi(a)
	y, e2 := strconv.Atoi(b)
	truth := func(v bool) int { return bit(!v) ^ 1 }
	r := 0
	switch {
	case op == "=":
		r = truth(a == b)
	case op == "!=":
		r = truth(a != b)
	case e1 != nil || e2 != nil || (op == "/" || op == "%") && y == 0:
		return c.fail(2, "non-integer argument")
	default:
		r = map[string]int{"+": x + y, "-": x - y, "*": x * y, "<": truth(x < y), ">": truth(x > y), "<=": truth(x <= y), ">=": truth(x >= y)}[op]
		if op == "/" {
			r = x / y
		}
		if op == "%" {
			r = x % y
		}
	}
	c.printf("%d\n", r)
	return bit(r == 0)
}

func toolYes(c *call) int {
	line := "y\n"
	if len(c.args) > 0 {
		line = strings.Join(c.args, " ") + "\n"
	}
	block := bytes.Repeat([]byte(line), 1000)
	for c.ctx().Err() == nil {
		if _, err := c.out.Write(block); err != nil {
			return 141
		}
	}
	return 143
}
