/* model.c: the one file that compiles the network of model.h. */
#define MODEL_IMPLEMENTATION
#include "model.h"
