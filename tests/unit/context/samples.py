"""One program a language, with everything that analysis is to find in it."""

SAMPLES: dict[str, str] = {}

SAMPLES["app.py"] = '''"""Doc: import nothing from here.

    from doc import string
"""
from __future__ import annotations
import os, a.b as c
from . import (  # these
    one,
    two as deux,
)
from ..up.er import *

LIMIT: int = 10
first, second = 1, 2
type Alias[T] = list[T]
if LIMIT:
    def guarded(): return 1

# Above the class.
@decorated
class Outer(Base):
    """A class."""
    field = 1

    # Above the method.
    @property
    def long(
        self,
        other,
    ) -> int:
        import late
        def inner(): ...
        return 2

    class Nested:
        async def deep(self):
            pass
'''

SAMPLES["app.ts"] = """import def, { a as b, type C } from "./one";
import * as ns from '../two.js';
import "./effect";
export { d } from "./three";
export * from "four";
const lazy = () => import("./lazy");
const old = require("old"), text = `import "no"`;

/** Doc. */
export default class Box<T> extends Base {
  static size = 1;
  handler = async () => {
    return 2;
  };
  constructor(private x: number) { super(); }
  @bound
  get value(): T {
    return this.x;
  }
}
export abstract class Shape { abstract area(): number; }
export interface Point { x: number; norm(): number }
export type Pair = [number, number];
export enum Color { Red }
export namespace Inner { export function helper() {} }
declare module "mod" { function declared(a: string): void; }
export const { p, q: r } = lazy, arrow = (x: number) =>
  x + 1;
function* gen() {}
Box.prototype.extra = function () {};
exports.made = class {};
"""

SAMPLES["view.tsx"] = """export const View = ({ name }: Props) => {
  return <div>{name}</div>;
};
"""

SAMPLES["app.js"] = """'use strict'
var app = exports = module.exports = {};
app.use = function use(fn) {
  return this;
};
class Old { #secret = 1; run() {} }
"""

SAMPLES["app.go"] = """package app

import "fmt"
import (
	"os"
	alias "example.com/x/y" // "not/this"
)

// Doc of Server.
type Server struct {
	Name string
}
type (
	Reader interface {
		Read(p []byte) (int, error)
	}
	ID = string
)
const (
	A, B = 1, 2
)
var global = 3

// Run runs.
func (s *Server[T]) Run(
	ctx Context,
) error {
	return nil
}
func main() {}
"""

SAMPLES["lib.rs"] = """use std::{fs, io::{self, Read as R}};
pub(crate) use crate::a::*;
use single;
mod other;
extern crate core;

/// Doc.
#[derive(Debug)]
pub struct Point { x: u8 }
pub enum Kind { A, B }
pub trait Shape { fn area(&self) -> f64; }
impl<T> fmt::Display for self::Point<T> {
    const SIZE: u8 = 1;
    fn fmt(&self) -> u8 {
        1
    }
}
impl Shape for [u8] { fn area(&self) -> f64 { 0.0 } }
mod inner { pub fn nested() {} }
macro_rules! mac { () => {} }
static GLOBAL: u8 = 1;
type Short = Vec<u8>;
"""

SAMPLES["App.java"] = """package a.b;

import java.util.*;
import static x.Y.z;
// import not.this;

/** Doc. */
@Ann
public class App<T> extends Base {
    static final int ONE = 1, TWO = 2;
    App() {}
    <U> void run(
            int a) throws X {
        new Runnable() { public void run() {} };
    }
    enum Level { LOW, HIGH { void up() {} }; int rank; }
    interface Task { void go(); }
}
record Pair(int a) {}
@interface Mark { int value() default 1; }
"""

SAMPLES["lib.c"] = """#ifndef LIB_H
#define LIB_H
#include "own.h"
#  include <sys/types.h>
#define MAX(a, b) \\
  ((a) > (b))
typedef struct node { int v; } node_t, *node_p;
struct pair { int a; };
enum { RED, GREEN };
static int table[3] = {1, 2, 3};
int declared(int a);
/* Doc. */
static char *
defined(int a,
        int b)
{
  return 0;
}
int (*callback)(int);
#else
int otherwise;
#endif
"""

SAMPLES["lib.cpp"] = """#include <vector>
namespace ns {
template <typename T>
class Stack : public Base {
 public:
  Stack();
  ~Stack() {}
  T pop(int n) const;
  bool operator==(const Stack& o) { return true; }
  int data;
};
template <class T>
T Stack<std::pair<T, T>>::pop(int n) const {
  return T();
}
enum class Mode { On };
using Alias = int;
extern "C" { void plain(void); }
}
"""

SAMPLES["App.cs"] = """global using System.IO;
using static A.B;
using Alias = C.D;
namespace App.Core;

/// <summary>Doc.</summary>
[Attr]
public class Service<T> : IService
{
    private const int Max = 3;
    public int Count { get; set; }
    public event Handler Changed;
    public Service() { using var x = Open(); }
    public async Task Run(
        int a)
    {
        return;
    }
    enum Mode { On }
}
public record Point(int X);
public interface IService { void Run(); }
delegate void Handler(int x);
"""

SAMPLES["app.rb"] = """require 'json'
require_relative "../lib/x"
autoload :Late, "late"

module Outer::Inner
  # Doc.
  class Worker < Base
    LIMIT = 5
    def self.build(a) = 1
    private def hidden(a,
                       b)
      a
    end
    class << self
      def meta; end
    end
    included do
      def mixed; end
    end
  end
end
def top
  text = <<~TEXT
    require "no"
  TEXT
end
"""

SAMPLES["App.php"] = """<?php
namespace App\\Core;
use Other\\Thing as T, Other\\More;
use Group\\{A, B as C};
use function strlen;
require_once __DIR__ . '/x.php';
const VERSION = 1;
#[Attr]
abstract class Service extends Base {
    use Mixin;
    const LIMIT = 2;
    public $field;
    public function run(
        int $a
    ): void {
        $f = function () use ($a) {};
    }
    abstract protected function stub();
}
interface Runs { function go(); }
trait Mixin { function mixed() {} }
enum Suit: string { case Hearts = 'H'; }
if (!function_exists('helper')) { function helper() {} }
"""

SAMPLES["Page.vue"] = """<template>
  <div>class NotThis</div>
</template>
<script setup lang="ts">
import { ref } from "vue";
function clicked() {
  return ref(1);
}
</script>
"""

SAMPLES["App.kt"] = """package app
import a.b.C
import d.e.*
internal data class Point(val x: Int) {
    fun <T> norm(): Int {
        return 1
    }
    fun Point.plus() = 2
}
fun main() {}
"""

SAMPLES["run.sh"] = """#!/bin/sh
build() {
  echo "build"
}
function clean {
  rm x
}
"""
