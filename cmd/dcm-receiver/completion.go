package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh" help:"bash or zsh."`
}

// Run prints a script for the shell: source <(dcm-receiver completion bash).
func (c completionCommand) Run(parser *kong.Kong) error {
	if c.Shell == "zsh" {
		fmt.Println("autoload -U +X bashcompinit && bashcompinit")
	}
	var paths, cases strings.Builder
	var walk func(node *kong.Node, path string)
	walk = func(node *kong.Node, path string) {
		var words []string
		for _, child := range node.Children {
			words = append(words, child.Name)
			walk(child, path+" "+child.Name)
		}
		for _, flags := range node.AllFlags(true) {
			for _, flag := range flags {
				words = append(words, "--"+flag.Name)
			}
		}
		if path != "" {
			fmt.Fprintf(&paths, "%q) path=\"$path $word\" ;; ", path)
		}
		fmt.Fprintf(&cases, "    %q) words=%q ;;\n", path, strings.Join(words, " "))
	}
	walk(parser.Model.Node, "")
	_, err := fmt.Fprintf(os.Stdout, `_dcm_receiver() {
  local path="" word words=""
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$path $word" in %s*) ;; esac
  done
  case "$path" in
%s  esac
  COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _dcm_receiver dcm-receiver
`, paths.String(), cases.String())
	return err
}
