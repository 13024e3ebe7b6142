/* model.c: compiles the decoder of model.h, once. */
#define MODEL_IMPLEMENTATION
#include "model.h"
