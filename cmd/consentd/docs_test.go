package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pages are the README and all pages of the documentation.
func pages(t *testing.T) map[string]string {
	t.Helper()
	const root = "../.."
	files, err := filepath.Glob(root + "/docs/*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	texts := make(map[string]string)
	for _, file := range append(files, root+"/README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[strings.TrimPrefix(file, root+"/")] = string(text)
	}
	return texts
}

var (
	shownCommand = regexp.MustCompile("(?m)(?:^[$] (?:bin/)?|`)consentd ([a-z][^`|\n]*)")
	shownTarget  = regexp.MustCompile("(?m)(?:^[$] |`)make ([a-z]+)")
	shownLink    = regexp.MustCompile(`\]\(([^):#]+)\)`)
)

func TestPages_ShowCommandsThatExist(t *testing.T) {
	t.Parallel()
	shown := 0
	for page, text := range pages(t) {
		for _, m := range shownCommand.FindAllStringSubmatch(text, -1) {
			shown++
			args := strings.Fields(m[1])
			cmd, rest, err := rootCommand().Find(args)
			if err == nil {
				err = cmd.ParseFlags(rest)
			}
			if err == nil {
				err = noArguments(cmd, cmd.Flags().Args())
			}
			if err != nil {
				t.Errorf("%s shows `consentd %s`: %v", page, m[1], err)
			}
		}
	}
	if shown < 5 {
		t.Errorf("only %d commands were found in the pages", shown)
	}
}

func TestPages_ShowTargetsAndLinksThatExist(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	var targets []string
	for _, m := range regexp.MustCompile(`(?m)^([a-z]+):`).FindAllStringSubmatch(string(makefile), -1) {
		targets = append(targets, m[1])
	}
	for page, text := range pages(t) {
		for _, m := range shownTarget.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(targets, m[1]) {
				t.Errorf("%s shows `make %s`, which is no target", page, m[1])
			}
		}
		for _, m := range shownLink.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join("../..", filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
			}
		}
	}
}
