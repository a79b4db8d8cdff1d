package main_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestCompletion lets a real bash complete.
func TestCompletion(t *testing.T) {
	for _, c := range []struct{ typed, want string }{
		{"dcm-receiver se", "serve"}, {"dcm-receiver edc reg", "register"},
		{"dcm-receiver serve --journal", "--journal-retention"},
	} {
		words := strings.Fields(c.typed)
		script := exec.Command("bash", "-c",
			`source <("$0" completion bash); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _dcm_receiver; echo `+
				`"${COMPREPLY[@]}"`)
		script.Args = append(append(script.Args, binary), words...)
		if out, err := script.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != c.want {
			t.Errorf("%s: %q, %v; want %s", c.typed, out, err, c.want)
		}
	}
}
