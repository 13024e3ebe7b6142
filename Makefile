# Folio: the whole build on one page. `make help` lists the targets.
#
#   make CC=clang            another compiler          make OPENMP=0        one thread
#   make ISA=portable        portable kernels only     make SANITIZE=1      with sanitizers

CC      = cc
OPENMP  = 1
ISA     = all
SANITIZE = 0
PYTHON  = python3
PREFIX  = /usr/local
BINDIR  = $(PREFIX)/bin
MANDIR  = $(PREFIX)/share/man
DESTDIR =

WARN    = -Wall -Wextra -Wpedantic -Wshadow -Wvla -Wdouble-promotion -Wstrict-prototypes \
          -Wmissing-prototypes
CFLAGS  = -O3 -g
# No contraction of a*b+c behind our back: the same source must give the same bytes.
FIXED   = -std=c99 $(WARN) -ffp-contract=off -I.
LDLIBS  = -lm

empty   = int main(void){return 0;}
try     = $(shell printf '$(empty)' | $(CC) -x c $(1) - -o /dev/null 2>/dev/null && echo yes)

# ---------------------------------------------------------------- OpenMP, if the compiler has it
ifeq ($(OPENMP),1)
  ifeq ($(call try,-fopenmp),yes)
    OMPFLAGS := -fopenmp
  else
    BREW := $(shell brew --prefix libomp 2>/dev/null)
    ifneq ($(BREW),)
      OMPFLAGS := -Xpreprocessor -fopenmp -I$(BREW)/include
      LDLIBS += -L$(BREW)/lib -lomp
    else
      $(info This compiler has no OpenMP, so one core will be used. For all: gcc, or on a Mac \
`brew install libomp`; with clang on Debian `apt-get install libomp-dev`.)
    endif
  endif
endif

# ---------------------------------------------------------------- instruction sets: all their flags
TABLES  = portable avx2 avx512 neon
# gcc's loop vectoriser takes the portable tile's rows for lanes, which is a third as fast as what
# its other passes make of it
flags_portable := $(if $(call try,-fno-tree-loop-vectorize),-fno-tree-loop-vectorize)
ifeq ($(ISA),all)
  flags_avx2   := $(if $(call try,-mavx2 -mfma),-mavx2 -mfma)
  flags_avx512 := $(if $(call try,-mavx512f -mfma),-mavx512f -mfma)
else
  FIXED += -DFOLIO_PORTABLE_ONLY
endif

ifeq ($(SANITIZE),1)
  CFLAGS = -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
  BIN    = build/sanitize/
else
  BIN    =
endif
OBJ     = $(if $(BIN),$(BIN)o,build/o)

# ---------------------------------------------------------------- what is built from what
PROGRAMS = train sample eval inspect ladder
ROOMS    = kernels networks training inference text formats cli system
PARTS    = $(filter-out $(PROGRAMS),$(basename $(wildcard *.c $(ROOMS:%=%/*.c))))
TESTS    = test_text test_documents test_kernels test_model test_decoder test_checkpoint test_cli \
           test_optimizer test_inference test_training test_gradients test_networks test_memory \
           test_fuzz
FUZZED   = checkpoint text options json
SCRIPTS  = cli/cli run/train cli/pages
COMMIT  := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)

all: $(PROGRAMS:%=$(BIN)%)

COMPILE = $(CC) $(FIXED) $(CFLAGS) $(OMPFLAGS) -MMD -MP
# Every object depends on a file that changes when the command line does.
STAMP   = $(OBJ)/command
COMMAND = $(COMPILE) $(LDLIBS) $(flags_portable) $(flags_avx2) $(flags_avx512) $(PARTS)
record  = $(shell mkdir -p $(OBJ); printf '%s' '$(2)' | cmp -s - $(1) || printf '%s' '$(2)' > $(1))
$(call record,$(STAMP),$(COMMAND))
# So do the objects that name the commit, on a file that holds it.
$(call record,$(OBJ)/commit,$(COMMIT))

# Three builds of every part: plain, double precision (for gradients), fault-injecting. Each is a
# library, of which a program takes what it uses.
define build
$(OBJ)/$(1)/%.o: %.c $(STAMP)
	@mkdir -p $$(@D)
	$$(COMPILE) $(2) $$(flags_$$(notdir $$*)) -c $$< -o $$@
$(OBJ)/$(1)/folio.a: $(PARTS:%=$(OBJ)/$(1)/%.o)
	@rm -f $$@
	$(AR) rcs $$@ $$^
endef
$(eval $(call build,float,))
$(eval $(call build,double,-DFOLIO_DOUBLE))
$(eval $(call build,faults,-DFAULTS))
$(OBJ)/float/train.o $(OBJ)/faults/train.o: COMPILE += -DFOLIO_COMMIT='"$(COMMIT)"'
$(OBJ)/float/train.o $(OBJ)/faults/train.o: $(OBJ)/commit

LINK = $(COMPILE) $^ -o $@ $(LDLIBS)
$(PROGRAMS:%=$(BIN)%): $(BIN)%: $(OBJ)/float/%.o $(OBJ)/float/folio.a
	$(LINK)

DOUBLE  = test_gradients test_networks test_memory
$(DOUBLE:%=$(OBJ)/%): $(OBJ)/%: $(OBJ)/double/tests/unit/%.o $(OBJ)/double/folio.a
	$(LINK)
FAULTS  = $(OBJ)/float/tests/faults.o $(OBJ)/faults/folio.a
$(OBJ)/test_checkpoint: $(OBJ)/faults/tests/unit/test_checkpoint.o $(FAULTS)
	$(LINK)
# Here a target has a name of its own.
$(FUZZED:%=$(OBJ)/float/tests/fuzz/fuzz_%.o): COMPILE += -DLLVMFuzzerTestOneInput=$(notdir $*)
$(OBJ)/test_fuzz: $(patsubst %,$(OBJ)/float/tests/fuzz/%.o,test_fuzz $(FUZZED:%=fuzz_%)) \
                  $(OBJ)/float/folio.a
	$(LINK)
$(filter-out $(DOUBLE:%=$(OBJ)/%) %/test_checkpoint %/test_fuzz,$(TESTS:%=$(OBJ)/%)): \
$(OBJ)/%: $(OBJ)/float/tests/unit/%.o $(OBJ)/float/folio.a
	$(LINK)
$(PROGRAMS:%=$(OBJ)/faulty/%): $(OBJ)/faulty/%: $(OBJ)/faults/%.o $(FAULTS)
	@mkdir -p $(@D)
	$(LINK)
# The programs with one more network: bigram.o has the lists of networks that the library has, too.
BIGRAM  = $(OBJ)/float/tests/networks/bigram.o
$(PROGRAMS:%=$(OBJ)/bigram/%): $(OBJ)/bigram/%: $(OBJ)/float/%.o $(BIGRAM) $(OBJ)/float/folio.a
	@mkdir -p $(@D)
	$(LINK)

# ---------------------------------------------------------------- what people type
run: all run.bin
	./sample run.bin --prompt "First Citizen:" --length 500

run.bin: | train
	./train data/shakespeare.txt --minutes 1 --out run.bin --overwrite

everything: all $(TESTS:%=$(OBJ)/%) $(PROGRAMS:%=$(OBJ)/faulty/%) $(PROGRAMS:%=$(OBJ)/bigram/%) \
            $(OBJ)/bench

test: everything
	@sh tests/run.sh $(OBJ) $(or $(BIN),./) $(TESTS) $(SCRIPTS)

sanitize:
	$(MAKE) SANITIZE=1 test

lint:
	@sh tests/lint.sh

mutate:
	@sh tests/mutate.sh

kills: all
	@sh tests/run/kills.sh $(or $(BIN),./)

# clang's libFuzzer over each target in turn; FUZZ=json tries one. What it learns stays in
# build/fuzz/NAME. Its -timeout is by the clock on the wall: an input is slow, too, when others have
# the processor.
FUZZ_CC      = clang
FUZZ_SECONDS = 1800
FUZZ         = $(FUZZED)
FUZZ_CHECKS  = -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all
FUZZ_FLAGS   = $(FIXED) -DFOLIO_PORTABLE_ONLY -O2 -g $(FUZZ_CHECKS)
FUZZ_LIMITS  = -max_total_time=$(FUZZ_SECONDS) -timeout=120 -rss_limit_mb=2048 -print_final_stats=1
FUZZ_SOURCES = $(wildcard *.c *.h */*.c */*.h tests/fuzz/fuzz*.[ch])
# Comparisons in the loop over all code points would take nine tenths of the time.
build/fuzz/fuzz_text: FUZZ_FLAGS += -fno-sanitize-coverage=trace-cmp
$(FUZZED:%=build/fuzz/fuzz_%): build/fuzz/fuzz_%: $(FUZZ_SOURCES)
	@mkdir -p $(@D)
	$(FUZZ_CC) $(FUZZ_FLAGS) tests/fuzz/fuzz_$*.c $(PARTS:%=%.c) -o $@ -lm

fuzz: $(FUZZ:%=build/fuzz/fuzz_%) $(OBJ)/test_fuzz
	$(OBJ)/test_fuzz --seeds build/fuzz
	@for t in $(FUZZ); do \
	    build/fuzz/fuzz_$$t $(FUZZ_LIMITS) -artifact_prefix=build/fuzz/$$t- build/fuzz/$$t \
	        $$(ls -d tests/fuzz/$$t 2> /dev/null) \
	    || { echo "fuzz_$$t stops at an input: a line above names its file;" \
	              "keep it in tests/fuzz/$$t"; exit 1; }; \
	done

bench: all $(OBJ)/bench
	$(OBJ)/bench

# bench/peak.c once for each instruction set, optimised whatever CFLAGS says: it measures the
# machine.
PEAKS   = $(TABLES:%=$(OBJ)/peak/%.o)
$(PEAKS): $(OBJ)/peak/%.o: bench/peak.c $(STAMP)
	@mkdir -p $(@D)
	$(COMPILE) -O3 $(flags_$*) -DTABLE=$* -DTABLE_FILE='"../kernels/$*.c"' \
	    -Dkernels_$*=peak_table_$* -c $< -o $@
$(OBJ)/bench: $(OBJ)/float/bench/bench.o $(PEAKS) $(OBJ)/float/folio.a
	$(COMPILE) $^ -o $@ $(LDLIBS)

# Programs, manual pages, completions of bash and zsh: where each goes.
BASHDIR = $(PREFIX)/share/bash-completion/completions
ZSHDIR  = $(PREFIX)/share/zsh/site-functions
program = $(DESTDIR)$(BINDIR)/folio-$(1)
man     = $(DESTDIR)$(MANDIR)/man1/folio-$(1).1
bash    = $(DESTDIR)$(BASHDIR)/folio-$(1)
zsh     = $(DESTDIR)$(ZSHDIR)/_folio-$(1)
places  = $(foreach kind,program man bash zsh,$(call $(kind),$(1)))

install: all
	umask 022 && mkdir -p $(dir $(call places,x))
	umask 022 && set -e && for p in $(PROGRAMS); do \
	    rm -f $(call places,$$p); \
	    install -m 755 $(or $(BIN),./)$$p $(call program,$$p); \
	    $(or $(BIN),./)$$p --page man > $(call man,$$p); \
	    $(or $(BIN),./)$$p --page bash > $(call bash,$$p); \
	    $(or $(BIN),./)$$p --page zsh > $(call zsh,$$p); \
	done

uninstall:
	rm -f $(foreach p,$(PROGRAMS),$(call places,$(p)))

clean:
	rm -rf build $(PROGRAMS)

help:
	@echo "make            build $(PROGRAMS)"
	@echo "make run        train for about a minute (run.bin), then print a sample"
	@echo "make test       every test that needs only the compiler"
	@echo "make lint       the rules of the house"
	@echo "make sanitize   the same tests with address and undefined-behaviour sanitizers"
	@echo "make mutate     break the code in one place after another; the tests must notice"
	@echo "make kills      kill two runs at a hundred random moments each; some minutes"
	@echo "make fuzz       libFuzzer over what reads files, texts and options (clang;"
	@echo "                1800 seconds each: FUZZ_SECONDS=60)"
	@echo "make bench      speed of this machine and of whole training steps"
	@echo "make install    programs folio-*, manual pages, completions: PREFIX=$(PREFIX)"
	@echo "                BINDIR MANDIR DESTDIR"
	@echo "make uninstall  remove what make install put there"
	@echo "make clean      remove what was built; checkpoints stay"
	@echo "Variables: CC=clang  OPENMP=0  ISA=portable  CFLAGS='-O2'"

.PHONY: all everything run test sanitize lint mutate kills fuzz bench install uninstall clean help
.DELETE_ON_ERROR:
-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)
