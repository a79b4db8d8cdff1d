// Package mutation breaks the program on purpose, so that tests can show that they notice. A mutation is
// a list of edits: each replaces a text that stands once in the program. It is found by its text, so a
// mutation survives that its code moves to another file.
package mutation

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Edit replaces a text in one file.
type Edit struct{ File, Old, New string }

// Reader reads edits line by line:
//
//	file internal/payload/capacitygroup.go
//	- if d.Weekday() != time.Monday {
//	+ if false {
//
// Lines that begin with "- ", or several of them, are the text to be replaced, those with "+ " the
// replacement. Several pairs may follow a file.
type Reader struct {
	Edits []Edit
	begun string
}

// Line reads one line. It fails on a line that is no part of an edit.
func (r *Reader) Line(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	last := len(r.Edits) - 1
	switch {
	case word == "file":
		r.Edits = append(r.Edits, Edit{File: rest})
	case word != "-" && word != "+" || last < 0:
		return fmt.Errorf("%q; want file, - or +", line)
	case word == "-" && r.begun == "+":
		r.Edits = append(r.Edits, Edit{File: r.Edits[last].File, Old: rest})
	case word == "-":
		r.Edits[last].Old = join(r.Edits[last].Old, rest, r.begun == "-")
	default:
		r.Edits[last].New = join(r.Edits[last].New, rest, r.begun == "+")
	}
	r.begun = word
	return nil
}

func join(before, line string, more bool) string {
	if more {
		return before + "\n" + line
	}
	return line
}

// Sources are the texts of the program below root that mutations may break, by path.
func Sources(root string) (map[string]string, error) {
	all := map[string]string{}
	for _, folder := range []string{"cmd", "internal", "schemas", "migrations", "api"} {
		err := fs.WalkDir(os.DirFS(root), folder, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && d.Name() == "testdata":
				return fs.SkipDir
			case d.IsDir() || strings.HasSuffix(path, "_test.go"):
				return nil
			}
			text, err := os.ReadFile(filepath.Join(root, path))
			all[path] = string(text)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Locate finds the file that an edit breaks: its own or, where the code has moved, the only one of its
// kind that has the text, once. "" where there is none.
func (e Edit) Locate(sources map[string]string) string {
	if strings.Count(sources[e.File], e.Old) == 1 {
		return e.File
	}
	found := ""
	for file, content := range sources {
		if filepath.Ext(file) == filepath.Ext(e.File) && strings.Contains(content, e.Old) {
			if found != "" || strings.Count(content, e.Old) > 1 {
				return ""
			}
			found = file
		}
	}
	return found
}

// Apply makes the texts of all files that the edits change, by path.
func Apply(sources map[string]string, edits []Edit) (map[string]string, error) {
	changed := map[string]string{}
	for _, e := range edits {
		file := e.Locate(sources)
		if file == "" || e.Old == e.New {
			return nil, fmt.Errorf("the code has changed: want %q once in %s, or else in one other file", e.Old, e.File)
		}
		text, ok := changed[file]
		if !ok {
			text = sources[file]
		}
		changed[file] = strings.Replace(text, e.Old, e.New, 1)
	}
	return changed, nil
}

// Overlay writes changed files to dir, and returns the flag with which go builds them in the place of those
// below root.
func Overlay(dir, root string, changed map[string]string) (flag string, err error) {
	if root, err = filepath.Abs(root); err != nil {
		return "", err
	}
	replace := map[string]string{}
	for file, text := range changed {
		broken := filepath.Join(dir, fmt.Sprint(len(replace), filepath.Ext(file)))
		if err := os.WriteFile(broken, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(root, file)] = broken
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	return "-overlay=" + file, os.WriteFile(file, overlay, 0o600)
}
