package broker

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"testing"
)

// testdata/murmur2.tsv was computed with Apache Kafka's own client.
func TestPartitioner_PlacesKeysAsTheJavaClientDoes(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/murmur2.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := 0
	for s := bufio.NewScanner(f); s.Scan(); {
		if strings.HasPrefix(s.Text(), "#") {
			continue
		}
		lines++
		fields := strings.Split(s.Text(), "\t")
		for i, n := range []int32{8, 12, 50} {
			want, err := strconv.Atoi(fields[2+i])
			if err != nil {
				t.Fatal(err)
			}
			p := NewPartitioner(n)
			if got := p.Partition([]byte(fields[0])); got != int32(want) {
				t.Errorf("key %q is in partition %d of %d, want %d", fields[0], got, n, want)
			}
			if p.Count() != n {
				t.Errorf("%d partitions, want %d", p.Count(), n)
			}
		}
	}
	if lines == 0 {
		t.Error("no keys were compared")
	}
}

func TestPartitioner_PlacesARecordWithoutAKeyAnywhere(t *testing.T) {
	t.Parallel()
	p := NewPartitioner(3)
	seen := make(map[int32]bool)
	for len(seen) < 3 { // it ends with each of them
		got := p.Partition(nil)
		if got < 0 || got >= 3 {
			t.Fatalf("partition %d of 3", got)
		}
		seen[got] = true
	}
	// An empty key is a key: murmur2 of nothing is 275646681 in Java too.
	if got := p.Partition([]byte{}); got != 275646681%3 {
		t.Errorf("the empty key is in partition %d, want %d", got, 275646681%3)
	}
}
