package torture

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestFaultsApply notices early that a deliberate fault is to be made anew.
func TestFaultsApply(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	patches, _ := filepath.Glob("faults/*.patch") // the pattern is well formed
	for _, patch := range patches {
		if out, err := apply("../..", patch, "--check").CombinedOutput(); err != nil {
			t.Errorf("the code has changed, make %s anew (README.md): %v\n%s", patch, err, out)
		}
	}
}

// apply is the command that patches the source in dir.
func apply(dir, patch string, options ...string) *exec.Cmd {
	path, err := filepath.Abs(patch)
	if err != nil {
		panic(err) // only without a working directory
	}
	cmd := exec.Command("git", append(append([]string{"apply", "-C1"}, options...), path)...)
	cmd.Dir = dir
	return cmd
}
