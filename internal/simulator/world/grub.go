package world

import (
	"fmt"
	"regexp"
	"strings"
)

// GrubConfig is the grub.cfg that Talos writes (internal/app/machined/pkg/runtime/v1alpha1/bootloader/grub/encode.go).
func GrubConfig(version, cmdline string) []byte {
	return fmt.Appendf(nil, `set default="A - Talos %[1]s"

set timeout=3

insmod all_video

terminal_input console
terminal_output console

menuentry "A - Talos %[1]s" {
  set gfxmode=auto
  set gfxpayload=text
  linux /A/vmlinuz %[2]s
  initrd /A/initramfs.xz
}
menuentry "Reset Talos installation and return to maintenance mode" {
  set gfxmode=auto
  set gfxpayload=text
  linux /A/vmlinuz %[2]s talos.experimental.wipe=system:EPHEMERAL,STATE
  initrd /A/initramfs.xz
}
`, version, grubQuote(cmdline))
}

// grubQuote quotes a kernel command line for grub.cfg as Talos does
// (internal/app/machined/pkg/runtime/v1alpha1/bootloader/grub/quote.go).
func grubQuote(s string) string {
	return regexp.MustCompile("[\\\\{}&$|;<>\"]").ReplaceAllString(s, `\$0`)
}

var (
	grubKernel   = regexp.MustCompile(`(?m)^\s*linux\s+(.*)$`)
	grubVariable = regexp.MustCompile(`^(\{[A-Za-z_0-9]+\}|[A-Za-z_][A-Za-z_0-9]*)`)
)

// grubCmdline gives the kernel arguments of the default entry, the first one, as GRUB passes them on: variables
// are expanded, which are empty, unless quoted; an unquoted operator is a syntax error, after which GRUB has no
// menu (GRUB manual, "Shell-like scripting").
func grubCmdline(config []byte) (string, error) {
	m := grubKernel.FindSubmatch(config)
	if m == nil {
		return "", fmt.Errorf("grub.cfg has no kernel: %w", ErrCorrupt)
	}
	line, err := grubExpand(string(m[1]))
	if err != nil {
		return "", err
	}
	_, args, _ := strings.Cut(line, " ")
	return strings.TrimSpace(args), nil
}

func grubExpand(s string) (string, error) {
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote == '\'':
			if c == quote {
				quote = 0
				continue
			}
			b.WriteByte(c)
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case c == '$' && grubVariable.MatchString(s[i+1:]):
			i += len(grubVariable.FindString(s[i+1:]))
		case c == '"' || c == '\'' && quote == 0:
			quote ^= c
		case quote == 0 && c == ';':
			return b.String(), nil
		case quote == 0 && strings.IndexByte("{}|&<>", c) >= 0:
			return "", fmt.Errorf("grub.cfg: syntax error at %q: %w", s[i:], ErrCorrupt)
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}
