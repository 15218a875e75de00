package bundle

import (
	"path"
	"strings"
)

// staging is where an archive is unpacked before anything that is in use is touched.
const staging = ".hawser-install"

// Unpack is a command of a POSIX shell, with tar and gzip (busybox's will do), that reads what Write made of the files and puts them into a folder, which is
// given as a word of the shell. Each file comes into its place by a rename, the program last: a device whose connection or power goes meanwhile keeps the
// agent that it had, and one that runs is not written to.
func Unpack(folder string, files []File) string {
	steps := []string{"tar -xzpf - -C " + staging}
	// The first move may be a copy, where the folder is a file system of its own; the second is none.
	place := func(name string) {
		steps = append(steps, "mv -f "+staging+"/"+name+" "+name+".new", "mv -f "+name+".new "+name)
	}
	for _, f := range files {
		steps = append(steps, "mkdir -p "+path.Dir(f.Name))
		switch {
		case f.Mode.IsDir(): // what path.Dir leaves of it is the folder itself
			steps = append(steps, "chmod 700 "+path.Dir(f.Name))
		case f.Name != program:
			place(f.Name)
		}
	}
	steps = append(steps, "sync")
	place(program)
	return "umask 077; mkdir -p " + folder + " && cd " + folder + " && rm -rf " + staging + " && mkdir " + staging + " && { " +
		strings.Join(steps, " && ") + "; done=$?; rm -rf " + staging + "; exit $done; }"
}
