/* Stands where Java's binding expects the core library of its own release, and passes its calls on to another one:
   onnxruntime's API is versioned inside `OrtGetApiBase`, and only names and symbol versions tie a binding to a release. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

static void *found(const char *name) {
  static void *core;
  if (core == NULL) core = dlopen(HARNESS_CORE, RTLD_NOW | RTLD_LOCAL);
  void *symbol = core == NULL ? NULL : dlsym(core, name);
  if (symbol == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    abort();
  }
  return symbol;
}

const void *OrtGetApiBase(void) { return ((const void *(*)(void))found("OrtGetApiBase"))(); }

/* All of them take the session's options and one number or pointer. */
#define FORWARD(name) \
  void *name(void *options, void *argument) { return ((void *(*)(void *, void *))found(#name))(options, argument); }
HARNESS_FORWARDED
